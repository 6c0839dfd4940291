"""Model cards: templates, and one card per recipe that was really run.

The templates (classifier.md, encoder.md, zipformer.md, their sections of use, people.md and papers.bib) are filled by
`hf_dialects.hub`, with numbers of the run's results.json alone. The cards in folders were made from real runs by

    hf-dialects push RUN your-name/NAME --license LICENSE --dry-run --card model_cards/NAME
"""
