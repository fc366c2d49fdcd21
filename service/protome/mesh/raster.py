from . import _kernel as kernel
