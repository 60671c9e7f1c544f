"""Random stories of watches, loops and faults, checked against a model of the promises.

``stories`` draws the rules and their arguments, ``rules`` has the steps of a story,
``world`` the state that they act on, and ``model`` the events of one watch.
"""
