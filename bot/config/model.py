"""The model of the settings: the only list of options, from which everything else that names them is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from bot.budget import Caps
from bot.config.kinds import (
    NO_SECRET,
    Address,
    Api,
    Chance,
    Currency,
    Dollars,
    File,
    Flag,
    FromOne,
    FromZero,
    Hour,
    Moment,
    Name,
    Patterns,
    Price,
    Rate,
    Rewrites,
    Secret,
    Share,
    Snowflake,
    Snowflakes,
    Text,
    Texts,
    Upload,
)
from bot.drafts import UploadState
from bot.training import TrainingApi

PREFIX = "TUMBLRBOT_"


Use = Literal["generation", "fine_tuning", "moderation"]


class Section(BaseModel):
    """What all sections share: they do not change, and do not show values in pydantic's own messages."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)


class DiscordSettings(Section):
    token: Secret = Field(
        default=NO_SECRET, description="The token of the bot, from the Bot page of Discord's developer portal."
    )
    guild_id: Snowflake = Field(
        default=None, description="The server that the bot works in; its commands are registered only there."
    )
    channel_id: Snowflake = Field(default=None, description="The private channel where progress and drafts appear.")
    owner_ids: Snowflakes = Field(
        default=[],
        description="The people who may do everything. Left empty, that is whoever owns the bot's application.",
    )
    reviewer_role_ids: Snowflakes = Field(
        default=[], description="The roles whose members may use the commands and decide on drafts beside the owner."
    )


class TumblrSettings(Section):
    consumer_key: Secret = Field(
        default=NO_SECRET,
        description="The OAuth consumer key of an application registered at https://www.tumblr.com/oauth/apps.",
    )
    consumer_secret: Secret = Field(default=NO_SECRET, description="The consumer secret that goes with it.")
    oauth_token: Secret = Field(
        default=NO_SECRET, description="The token by which that application may act for your account."
    )
    oauth_token_secret: Secret = Field(default=NO_SECRET, description="The secret that goes with the token.")
    api_url: Address = Field(
        default="https://api.tumblr.com", description="Where Tumblr's API is; the demo points it elsewhere."
    )
    upload_state: Upload = Field(
        default=UploadState.DRAFT,
        description="What becomes of an approved draft on the blog: draft leaves it among the blog's drafts, queue adds"
        " it to the queue, published posts it at once, private posts it for you alone.",
    )


class GenerationSettings(Section):
    base_url: Address = Field(default="", description="The service that writes, if it is not the one of [openai].")
    api_key: Secret = Field(default=NO_SECRET, description="The key for that service, if it has one of its own.")
    model: Name = Field(
        default="gpt-6-luna",
        description="The model that writes from real posts in its prompt while no tuned model is active.",
    )


class FineTuningSettings(Section):
    base_url: Address = Field(default="", description="The service that fine-tunes, if it is not the one of [openai].")
    api_key: Secret = Field(default=NO_SECRET, description="The key for that service, if it has one of its own.")
    model: Name = Field(default="", description="The model to start from; left empty, that is base_model.")
    api: Api = Field(
        default=TrainingApi.AUTO,
        description="How that service takes trainings: openai (its files and fine-tuning jobs), azure (the same,"
        " with files as Azure wants them), together (Together's own); auto goes by the address.",
    )


class ModerationSettings(Section):
    base_url: Address = Field(
        default="", description="The service that screens texts, if it is not the one of [openai]."
    )
    api_key: Secret = Field(default=NO_SECRET, description="The key for that service, if it has one of its own.")
    model: Name = Field(default="omni-moderation-latest", description="The model that screens examples and drafts.")


class OpenAISettings(Section):
    api_key: Secret = Field(default=NO_SECRET, description="The API key of the model service.")
    base_url: Address = Field(
        default="https://api.openai.com/v1",
        description="The model service: OpenAI's, or any other that speaks its API. The key above is sent only there.",
    )
    generation: GenerationSettings = Field(
        default_factory=GenerationSettings, description="Writing drafts; what is left empty is taken from [openai]."
    )
    fine_tuning: FineTuningSettings = Field(
        default_factory=FineTuningSettings, description="Training a voice; what is left empty is taken from [openai]."
    )
    moderation: ModerationSettings = Field(
        default_factory=ModerationSettings, description="Screening texts; what is left empty is taken from [openai]."
    )


class BudgetSettings(Section):
    monthly_limit: Dollars = Field(
        default=20.0,
        description="US dollars that paid calls may cost in one calendar month (UTC). A run that would pass it stops"
        " and asks. With 0 nothing is called that costs money.",
    )
    per_run: Dollars = Field(
        default=0.0,
        description="US dollars that paid calls of one run of a command, or of one press of Regenerate, may cost; 0"
        " sets no cap beside the month's.",
    )
    per_day: Dollars = Field(
        default=0.0,
        description="US dollars that paid calls may cost in one day (UTC); 0 sets no cap beside the month's.",
    )
    currency: Currency = Field(
        default="",
        description='Your own currency, such as "EUR": amounts are shown in it beside the dollars, once currency_rate'
        " is set. The limits above and the services' bills stay in dollars.",
    )
    currency_rate: Rate = Field(
        default=0.0, description="How much of your currency one US dollar is, such as 0.92; 0 shows dollars only."
    )

    @property
    def caps(self) -> Caps:
        return Caps(self.per_run, self.per_day)


class GuardSettings(Section):
    rewrites: Rewrites = Field(
        default=2,
        description="How often a draft is written anew that copies a post, repeats a draft, is flagged or cut off;"
        " after that it is shown as held back, with why. Each time is a paid call.",
    )
    screen_drafts: Flag = Field(
        default=True,
        description="Whether each draft is screened by the model of [openai.moderation], where there is a key for it.",
    )
    allowed_phrases: Texts = Field(
        default=[],
        description="Phrases that drafts may share with your posts, such as the way you greet; they do not count when a"
        " draft is held against posts and other drafts.",
    )


class ReviewSettings(Section):
    approvals_needed: FromOne = Field(
        default=1, description="How many people have to approve a draft before it goes to the blog."
    )
    decider_role_ids: Snowflakes = Field(
        default=[],
        description="The roles whose members may decide on drafts, beside the owner, among those who may use the bot."
        " Left empty, that is everybody who may use it.",
    )
    expiry_days: FromZero = Field(
        default=0,
        description="Days after which a draft that nobody has done anything about is rejected by the bot; Undo brings"
        " it back. 0 keeps drafts waiting for ever.",
    )
    reminder_hour: Hour = Field(
        default=None,
        description='The hour of the day (UTC, 0 to 23) at which the channel is told what waits; "" sends no reminder.'
        " Nobody is pinged.",
    )
    posts_a_day: FromZero = Field(
        default=0,
        description="How many approved drafts are published in a day, at even distances, where upload_state is queue or"
        " published; 0 sends each as soon as it is approved.",
    )
    teach_typed_text: Flag = Field(
        default=False,
        description="Whether texts that people typed in Discord (edited drafts) may go into the preferences that /data"
        " export writes. Discord wants their consent before such text is used for training.",
    )


class RetentionSettings(Section):
    other_blogs_days: FromOne = Field(
        default=3,
        description="Days that posts of blogs which are not yours are kept before they are purged. Tumblr's terms for"
        " applications allow three.",
    )
    backups: FromZero = Field(
        default=7,
        description="How many nightly backups are kept in the folder backups of data_directory; 0 keeps none. One that"
        " holds posts which have to be purged goes with them.",
    )


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where a kind of call goes, with which key, and the model it asks for."""

    base_url: str
    api_key: SecretStr
    model: str


class Settings(BaseSettings):
    """Every option. `Settings(...)` reads nothing but its arguments; `load_settings` reads the world."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="ignore",
        hide_input_in_errors=True,
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        enable_decoding=False,
        validate_default=False,  # a blank stands for the default, so a blank default would go round in circles
    )

    download_blog_identifiers: Texts = Field(
        default=[], description='The blogs to learn from, by name or address: ["staff", "changes.tumblr.com"].'
    )
    data_directory: File = Field(
        default=Path("data"),
        description="The folder of the bot's database, bot.sqlite3, with the downloaded posts in it.",
    )
    date_limit: Moment = Field(
        default=None,
        description='Posts from before this do not become examples; "" sets no limit. Without a zone it is UTC.',
    )
    post_limit: FromZero = Field(
        default=0,
        description="How many posts of each blog, counted from the newest, may become examples; 0 sets no limit. Posts"
        " that date_limit or filtered_words leave out are not counted; duplicates among those counted are left out.",
    )
    moderation_batch_size: FromOne = Field(
        default=25, description="The most posts to screen in one call; long posts make a call smaller by themselves."
    )
    custom_prompts_file: File = Field(
        default=Path("data/custom_prompts.jsonl"),
        description="A file of your own examples: on each line a JSON object of prompts and their answers.",
    )
    filtered_words: Patterns = Field(
        default=[],
        description="Posts with one of these words do not become examples. Case does not matter. Each is a regular"
        r" expression, best written between single quotes: ['secret', 'c\+\+'].",
    )
    include_answers: Flag = Field(
        default=False,
        description="Whether answered asks become examples too: the ask is what the model is asked, your answer what it"
        " learns to say. date_limit, post_limit and filtered_words (in ask and answer) count for them as well.",
    )
    include_reblog_comments: Flag = Field(
        default=False,
        description="Whether what you wrote below a reblogged post becomes an example too: the post, in the words of"
        " reblog_user_message, is what the model is asked. Other people's words go into the training data with it."
        " date_limit, post_limit and filtered_words (in both) count for these as well.",
    )
    held_out_share: Share = Field(
        default=0.1,
        description="Which share of the posts, the newest ones, is kept out of the training to measure a voice by. A"
        " dataset of fewer than 50 examples holds none out.",
    )
    example_token_limit: FromZero = Field(
        default=0,
        description="How many tokens an example may have, its instructions included; longer ones are left out and"
        " reported. 0 sets no limit.",
    )
    training_data_file: File = Field(
        default=Path("data/training_data.jsonl"), description="Where the finished examples are written for you to read."
    )
    developer_message: Text = Field(
        default="You write the posts of one Tumblr blog, in its author's own voice. Answer with the post alone.",
        description="The instructions that go before every example and every request for a post. A voice is asked with"
        " the words it was trained with; a change takes effect with the next training.",
    )
    user_message: Text = Field(
        default="Write the next post for the blog.",
        description="The request that each example answers. Like developer_message, it belongs to the training.",
    )
    expected_epochs: FromOne = Field(
        default=3, description="How many times fine-tuning goes through the examples, for the estimate of its cost."
    )
    token_price: Price = Field(
        default=None,
        description="US dollars for a million tokens of fine-tuning base_model, for the estimate of its cost; left"
        " empty, a table of known prices is used.",
    )
    job_id: Name = Field(
        default="", description="A fine-tuning job that is already under way at the service, to be followed to its end."
    )
    base_model: Name = Field(
        default="gpt-4.1-mini-2025-04-14",
        description="The model that is fine-tuned. OpenAI takes fine-tuning jobs until 6 January 2027, and only from"
        " those who tuned before.",
    )
    fine_tuned_model: Name = Field(default="", description="A model that was fine-tuned before, to write with.")
    upload_blog_identifier: Name = Field(
        default="", description="Your blog that approved drafts are uploaded to, by name or address."
    )
    draft_count: FromOne = Field(
        default=10, description="How many drafts one run writes, unless the command says otherwise."
    )
    tags_chance: Chance = Field(
        default=0.1, description="How often a draft is given tags: 0 is never, 1 is always. Tags cost a second call."
    )
    tags_developer_message: Text = Field(
        default="List the few subjects that matter most in the text you are given, as short tags.",
        description="The instructions by which tags are found for a draft.",
    )
    reblog_blog_identifiers: Texts = Field(default=[], description="The blogs whose posts a draft may reblog.")
    reblog_chance: Chance = Field(
        default=0.1, description="How often a draft is a reblog of one of their posts: 0 is never, 1 is always."
    )
    reblog_user_message: Text = Field(
        default="Write a reply to this post, to be reblogged with it:\n\n{}",
        description="The request for a reblog; the text of the post takes the place of {}.",
    )
    discord: DiscordSettings = Field(
        default_factory=DiscordSettings, description="Where the bot lives, and who may use it."
    )
    tumblr: TumblrSettings = Field(
        default_factory=TumblrSettings,
        description="The account that posts are uploaded with. `python3 -m bot setup` or /connect connects it.",
    )
    openai: OpenAISettings = Field(default_factory=OpenAISettings, description="The service that runs the models.")
    budget: BudgetSettings = Field(default_factory=BudgetSettings, description="What may be spent.")
    guards: GuardSettings = Field(
        default_factory=GuardSettings, description="What a draft must not be, and what happens when it is."
    )
    review: ReviewSettings = Field(
        default_factory=ReviewSettings,
        description="Deciding on drafts, when approved ones go to the blog, and what decisions teach.",
    )
    retention: RetentionSettings = Field(default_factory=RetentionSettings, description="How long things are kept.")

    @classmethod
    def settings_customise_sources(  # pyright: ignore[reportImplicitOverride]  # typing.override is Python 3.12's
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Keep `Settings(...)` from reading the environment behind its caller's back."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def database_file(self) -> Path:
        return self.data_directory / "bot.sqlite3"

    def training_price(self, model: str) -> float | None:
        """The owner's own price for training a model, in US dollars for a million tokens; None: none was set."""
        return self.token_price if model in {self.base_model, self.openai.fine_tuning.model} else None

    def endpoint(self, use: Use) -> EndpointSettings:
        """Where calls for `use` go.

        The key of [openai] is lent only to its own host: a service with a `base_url` elsewhere is sent the key that
        was given for it, or none.
        """
        uses: dict[Use, GenerationSettings | FineTuningSettings | ModerationSettings] = {
            "generation": self.openai.generation,
            "fine_tuning": self.openai.fine_tuning,
            "moderation": self.openai.moderation,
        }
        own = uses[use]
        base_url = own.base_url or self.openai.base_url
        api_key = own.api_key
        if not api_key.get_secret_value() and _origin(base_url) == _origin(self.openai.base_url):
            api_key = self.openai.api_key
        return EndpointSettings(base_url, api_key, own.model or self.base_model)


def _origin(address: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port
