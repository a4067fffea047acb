"""A regression gate on refusals: is a model within limits of breach and over-refusal, and how sure is that?"""
