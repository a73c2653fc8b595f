"""`python -m reactface_jax COMMAND …` is `reactface COMMAND …`."""

from reactface_jax.commands.main import main

if __name__ == "__main__":
    main()
