"""The model factory: synthetic heads, the network, its training, evaluation and export.

Frames used throughout:
  head frame  -- centimetres, x to the subject's left, y up, z out of the face;
  crop frame  -- pixels of the 192x192 crop, x right, y down, z away from the camera,
                 z = 3 at the head's nearest point.
"""

__all__ = ["__version__"]
__version__ = "0.1.0"
