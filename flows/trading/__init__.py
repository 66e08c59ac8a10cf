"""Trading: rules chosen at night, signals and paper trades of every hour."""
