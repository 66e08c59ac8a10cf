"""The dashboard: Streamlit pages over the published snapshot. `python -m app` serves it."""
