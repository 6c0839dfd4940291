"""Sharing on the Hugging Face Hub: finished runs as model repositories, with a card."""

from hf_dialects.hub.push import Pushed, push

__all__ = ["Pushed", "push"]
