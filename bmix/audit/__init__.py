"""Labels judged out of fold: by scores of models that never saw them."""
