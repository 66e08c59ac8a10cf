// Two faults of Streamlit that a reader feels, until they are fixed there.
(() => {
  const top = window;
  if (top.candleworksReady) return;
  top.candleworksReady = true;
  // Streamlit issue 13853: a page that puts its choices into the address adds an entry of history of its own, so that
  // "back" needs two presses. A change of the query alone replaces the entry.
  const push = top.history.pushState.bind(top.history);
  top.history.pushState = (state, title, url) => {
    const target = new URL(url ?? top.location.href, top.location.href);
    const same = target.pathname === top.location.pathname;
    return same ? top.history.replaceState(state, title, url) : push(state, title, url);
  };
  // On a phone the menu stays open over the chosen page.
  top.document.addEventListener("click", (event) => {
    if (!event.target.closest("[data-testid=stSidebarNavLink]") || top.innerWidth > 768) return;
    setTimeout(() => top.document.querySelector("[data-testid=stSidebarCollapseButton] button")?.click(), 50);
  });
})();
