"""Sharing on the Hugging Face Hub: finished runs, saved models and prepared corpora as repositories, with a card."""

from hf_dialects.hub.dataset_facts import Facts, facts_of
from hf_dialects.hub.dataset_push import push_dataset
from hf_dialects.hub.push import Pushed, push
from hf_dialects.hub.space import push_space
from hf_dialects.saving import save_for_hub

__all__ = ["Facts", "Pushed", "facts_of", "push", "push_dataset", "push_space", "save_for_hub"]
