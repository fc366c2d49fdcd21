"""Make the network's weights: synthetic heads, training, evaluation and export.

Frames used throughout:
  head frame  -- centimetres, x to the subject's left, y up, z out of the face;
  crop frame  -- pixels of the 192x192 crop, x right, y down, z away from the camera. In samples
                 z = 0 at the mean of the landmarks (``heads.pose.Camera``); in the network's
                 volume z = 4 at the mean head's nearest point (``training.geometry``).
"""

__all__ = ["__version__"]
__version__ = "0.1.0"
