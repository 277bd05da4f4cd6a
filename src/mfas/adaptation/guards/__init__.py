"""Guards: adapters around adapters, one file each. They bound, check or undo what a method learnt."""
