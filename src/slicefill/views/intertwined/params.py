"""Parameters of intertwined training."""

from typing import Annotated

from pydantic import Field

from slicefill.params.base import Count, Fraction, Params, Positive, Weight


class IntertwinedParams(Params):
    """How a network that segments and one that registers learn from each other."""

    registration: str = Field(
        description="an entry of `fusion.registrations`, of kind alignnet: what learns"
    )
    alpha_segmenter: Weight = Field(
        description="weight of the segmenter's consistency, beside its loss on labels"
    )
    alpha_aligner: Weight = Field(
        description="weight of the aligner's consistency, beside the likeness of views"
    )
    rate: Positive = Field(description="of learning, of both; published 1e-4")
    decay: Fraction = Field(description="factor of the rate, published 0.9")
    every: Count = Field(description="steps from one decay to the next, published 200")
    epochs: Count = Field(description="of training; its state is kept after each")
    steps_per_epoch: Count = Field(description="each of both networks, by turns")
    batch: Count = Field(description="pairs of views in a step")
    seed: Annotated[int, Field(ge=0)] = Field(description="of what is drawn")
