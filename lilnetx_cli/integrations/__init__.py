"""Callbacks for the training loops of other libraries; each needs its library."""
