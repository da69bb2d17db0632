"""What a simulated camera sees: a procedural macro scene, a thin lens, a pose and a sensor, all pure functions.

Depths are carriage positions: a point of depth 11.2 mm is in focus when the carriage stands at 11.2 mm. The near end
of the scene has the smaller depth. Colours are blue, green, red, and alpha where there is one, premultiplied. They are
blurred as displayed, not in linear light, as stacking software does too.
"""
