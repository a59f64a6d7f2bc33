"""The conformance classes of the prompt formats."""

from __future__ import annotations

from pool_core.testing import FormatExample, PromptFormatConformance, Supports

__all__ = ["TestAlpaca", "TestChatML", "TestLlama2", "TestOpenChat", "TestTemplateFormat", "TestZephyr"]

_CHAT = (("system", "Be brief."), ("user", "Hi."), ("assistant", "Hello."), ("user", "Who are you?"))
_NARRATED = FormatExample([("narrator", "It rains.")], None)


class TestChatML(PromptFormatConformance):
    use = "standard/chatml"
    supports = Supports(stop=True)
    examples = (
        FormatExample(
            _CHAT,
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nHi.<|im_end|>\n"
            "<|im_start|>assistant\nHello.<|im_end|>\n<|im_start|>user\nWho are you?<|im_end|>\n"
            "<|im_start|>assistant\n",
        ),
        _NARRATED,
    )


class TestZephyr(PromptFormatConformance):
    use = "standard/zephyr"
    supports = Supports(stop=True)
    examples = (
        FormatExample(
            _CHAT,
            "<|system|>\nBe brief.</s>\n<|user|>\nHi.</s>\n<|assistant|>\nHello.</s>\n"
            "<|user|>\nWho are you?</s>\n<|assistant|>\n",
        ),
        _NARRATED,
    )


class TestOpenChat(PromptFormatConformance):
    use = "standard/openchat"
    supports = Supports(stop=True)
    examples = (
        FormatExample(
            _CHAT,
            "GPT4 Correct System: Be brief.<|end_of_turn|>GPT4 Correct User: Hi.<|end_of_turn|>"
            "GPT4 Correct Assistant: Hello.<|end_of_turn|>GPT4 Correct User: Who are you?<|end_of_turn|>"
            "GPT4 Correct Assistant:",
        ),
        _NARRATED,
    )


class TestAlpaca(PromptFormatConformance):
    use = "standard/alpaca"
    supports = Supports(stop=True)
    examples = (
        FormatExample(
            _CHAT,
            "Be brief.\n\n### Instruction:\nHi.\n\n### Response:\nHello.</s>\n\n"
            "### Instruction:\nWho are you?\n\n### Response:\n",
        ),
        FormatExample([("assistant", "Hello.")], None),
    )


class TestLlama2(PromptFormatConformance):
    use = "standard/llama2"
    supports = Supports(stop=True)
    examples = (
        FormatExample(
            _CHAT,
            "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi. [/INST] Hello. </s><s>[INST] Who are you? [/INST]",
        ),
        FormatExample([("system", "Be brief.")], None),
    )


class TestTemplateFormat(PromptFormatConformance):
    use = "standard/template"
    supports = Supports(stop=True)
    config = {  # noqa: RUF012 - as a recipe has it
        "template": "{% for message in messages %}<{{ message.role }}>{{ message.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}",
        "eos_token": "</s>",
        "stop": ["</s>"],
    }
    examples = (
        FormatExample(
            _CHAT,
            "<system>Be brief.</s><user>Hi.</s><assistant>Hello.</s><user>Who are you?</s><assistant>",
        ),
        FormatExample([("narrator", "It rains.")], "<narrator>It rains.</s><assistant>"),
        FormatExample([("user", "Hi.")], "Hi.", {"template": "{{ messages[0].content }}", "stop": []}),
    )
