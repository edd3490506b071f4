"""Models over patches: parts of windows in time, one patch after the other, forecasts as cubes."""
