"""Random wrong parameters and arrays for every public class, and what the library does."""
