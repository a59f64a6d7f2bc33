"""What a member's tokens cost: as the recipe says, or as the package genai-prices knows.

An unknown price is None and never 0: a figure of 0 dollars would be believed.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from pool_core.interfaces.values import Offer, Usage
from pool_core.recipe.models import Price

if TYPE_CHECKING:
    from genai_prices.types import ModelPrice

__all__ = ["Rate", "TokenPrice", "compute_cost", "find_price", "format_dollars", "knows_prices", "look_up_price"]

_MILLION = 1_000_000
#: What some models charge beside tokens, or for some tokens apart, and usage does not tell.
_UNCOUNTED = ("requests_kcount", "output_reasoning_mtok", "output_citation_mtok")


@dataclass(frozen=True, slots=True)
class Rate:
    """Dollars per million tokens."""

    input: float
    output: float


@dataclass(frozen=True, slots=True)
class TokenPrice:
    """What the tokens of a model cost."""

    base: Rate
    #: Where it is from: ``recipe``, or the package, its version and the model as it names it.
    source: str
    #: Rates of calls with long prompts: the number of prompt tokens beyond which each holds, ascending.
    steps: tuple[tuple[int, Rate], ...] = ()

    def scale(self, share: float) -> TokenPrice:
        """What they cost where only a share of the price is paid."""
        steps = tuple((start, Rate(rate.input * share, rate.output * share)) for start, rate in self.steps)
        base = Rate(self.base.input * share, self.base.output * share)
        return TokenPrice(base, f"{self.source}, times {share:g}", steps)

    def find_rate(self, input_tokens: float) -> Rate:
        """The rate of a call whose prompt has so many tokens."""
        rate = self.base
        for start, higher in self.steps:
            if input_tokens > start:
                rate = higher
        return rate


def compute_cost(usage: Usage, price: TokenPrice | None) -> float | None:
    """Dollars of a call; None where the price or the usage is not known.

    Tokens that a provider's cache served count in full: `Usage` does not tell them apart.
    """
    if price is None or usage.input_tokens is None or usage.output_tokens is None:
        return None
    rate = price.find_rate(usage.input_tokens)
    return (usage.input_tokens * rate.input + usage.output_tokens * rate.output) / _MILLION


def find_price(written: Price | None, offer: Offer | None) -> TokenPrice | None:
    """The price of a member: the recipe's ``written`` one, else what is known of what its backend buys."""
    if written is not None:
        return TokenPrice(Rate(written.input, written.output), "recipe")
    if offer is None or not offer.url.startswith("https://") or not knows_prices():
        return None  # nobody sells over plain HTTP: a server of one's own need not wait for the import
    found = look_up_price(offer)
    return found if found is None or offer.share == 1 else found.scale(offer.share)


def knows_prices() -> bool:
    """Whether genai-prices is installed."""
    return find_spec("genai_prices") is not None


def look_up_price(offer: Offer) -> TokenPrice | None:
    """What genai-prices says of an offer, at this moment, from the data that it ships: nothing is fetched.

    The provider is known by its address. A model at another address, such as an open one on a server
    of one's own, has no known price, whatever its name is. Nor has one that charges for more than tokens.
    """
    from genai_prices import Usage as NoUsage  # noqa: PLC0415 - optional, and it imports an HTTP client
    from genai_prices import __version__, calc_price  # noqa: PLC0415

    try:
        found = calc_price(NoUsage(), offer.model, provider_api_url=offer.url)
    except LookupError:
        return None
    return _read_price(found.model_price, f"genai-prices {__version__}: {found.provider.id}/{found.model.id}")


def _read_price(known: ModelPrice, source: str) -> TokenPrice | None:
    if any(getattr(known, name) is not None for name in _UNCOUNTED):
        return None
    input_, output = _read_steps(known.input_mtok), _read_steps(known.output_mtok)
    if not input_ or not output:
        return None
    starts = sorted({*input_, *output})
    rates = [(start, Rate(_find_step(input_, start), _find_step(output, start))) for start in starts]
    return TokenPrice(rates[0][1], source, tuple(rates[1:]))


def _read_steps(price: Any) -> dict[int, float]:
    """Dollars by the number of prompt tokens beyond which they hold; the first holds from 0. Empty: not known."""
    if price is None:
        return {}
    tiers = getattr(price, "tiers", None)
    if tiers is None:
        return {0: float(price)}
    return {0: float(price.base), **{tier.start: float(tier.price) for tier in tiers}}


def _find_step(steps: dict[int, float], start: int) -> float:
    return steps[max(known for known in steps if known <= start)]


def format_dollars(dollars: float) -> str:
    """``$12.30``, ``$0.0042``: two digits that mean something, at least."""
    if dollars >= 1 or dollars == 0:
        return f"${dollars:,.2f}"
    return f"${dollars:.4f}" if dollars >= 0.0001 else "<$0.0001"  # noqa: PLR2004
