"""More of the table of `tests/test_readme.py`: what each sentence of a part of the README is held by."""

from __future__ import annotations

YOURS: list[tuple[str, str]] = []
"""Not about the bot: what a reader does, decides or has to know."""
OF_OTHERS: list[tuple[str, str]] = []
"""A fact about Tumblr, OpenAI or Discord, as they say it themselves: no test of ours could fail when it changes."""

COMMANDS, BUTTONS, FLOW = "tests/cogs/test_commands.py", "tests/cogs/test_buttons.py", "tests/cogs/test_flow.py"
BUDGET, CONSENT, CONFIG = "tests/cogs/test_budget.py", "tests/cogs/test_consent.py", "tests/test_config.py"
DATA, DOWNLOADING, EXAMPLES = "tests/cogs/test_data.py", "tests/cogs/test_downloading.py", "tests/cogs/test_examples.py"
GENERATING, HEALTH, LIFE = "tests/cogs/test_generating.py", "tests/test_health.py", "tests/cogs/test_draft_life.py"
LOGS, MAIN, PAGES = "tests/test_logs.py", "tests/test_main.py", "tests/test_pages.py"
PROJECT, PUBLISH, README = "tests/test_project.py", "tests/pipeline/test_publish.py", "tests/test_readme.py"
REBLOGS, REVIEW, SETTINGS = "tests/cogs/test_reblogs.py", "tests/cogs/test_review.py", "tests/cogs/test_settings.py"
SETUP, STATUS, TRAINING = "tests/setup", "tests/cogs/test_status.py", "tests/cogs/test_training.py"
SCREENING, VOICES, WATCH = "tests/cogs/test_screening.py", "tests/cogs/test_voices.py", "tests/test_shutdown_watch.py"
CONNECT, PRICES = "tests/cogs/test_connect.py", "tests/language/test_tokens_and_prices.py"
FAILS, KEYS = "tests/cogs/test_discord_fails.py", "tests/cogs/test_config_secret.py"

_STAGES = (COMMANDS, "test_the_five_stages_one_after_the_other_by_their_buttons")
_TOUR = (FLOW, "test_the_tour_ends_with_exactly_the_approved_drafts_on_the_blog")
_FIRST = (PROJECT, "test_the_first_start_sets_up_and_starts_the_program_there")
_PAGE = ("tests/browser/test_page.py", "test_a_person_walks_from_the_download_to_receipts")
_APPROVE = (BUTTONS, "test_approve_puts_the_draft_on_the_blog_and_leaves_a_receipt")
_UNAPPROVED = (PUBLISH, "test_nothing_is_sent_without_an_approval")
_WHERE = ("tests/cogs/test_publishing.py", "test_an_approval_says_before_and_after_where_it_goes_and_as_what")
_OFFER = (TRAINING, "test_the_offer_names_dataset_service_model_price_and_what_the_budget_has_left")
_CURVE = (TRAINING, "test_the_message_shows_state_steps_events_and_the_curve_as_a_picture")
_FEW_SHOT = (FLOW, "test_few_shot_writes_without_any_training")
_OWN_MODEL = ("tests/voices/test_few_shot.py", "test_a_model_of_ones_own_on_this_machine_costs_nothing")
_ASKED = (CONSENT, "test_a_blog_of_somebody_else_is_downloaded_only_once_somebody_says_so")
_REVOKED = (CONSENT, "test_revoking_removes_posts_examples_file_and_what_drafts_answer")
_SERVER = (f"{SETUP}/test_discord.py", "test_a_bot_is_connected_and_gets_its_server_and_its_channel")
_KEY = (f"{SETUP}/test_model_service.py", "test_a_key_is_tried_for_free_and_kept")
_ACCOUNT = (f"{SETUP}/test_tumblr.py", "test_an_account_is_connected_and_its_blogs_chosen")
_MOVED = ("tests/test_moving_in.py", "test_a_whole_folder_is_taken_over")
_CHECK = "tests/test_check.py"
_OPTIONS_PAGE = (PAGES, "test_what_is_made_from_the_source_is_up_to_date")
_SENTENCES = (PAGES, "test_every_sentence_says_something_and_ends")
_BEATS = (HEALTH, "test_the_command_answers_with_its_exit_status")
_SECRETS = ("tests/cogs/test_secrets.py", "test_no_secret_is_written_anywhere")
_PRIVATE = (CONFIG, "test_the_file_of_secrets_is_its_owners_alone")
_TEACH = (REVIEW, "test_what_decisions_teach_is_the_owners_and_leaves_typed_texts_out")
_RECENT = (BUDGET, "test_the_budget_shows_purposes_models_what_is_open_allowed_and_left")

BEGINNING = {
    "A Discord bot for the owner of a Tumblr blog.": YOURS,
    "It downloads the blog, turns it into training data, screens it, learns a *voice* from it, and writes posts in that "
    "voice.": [_STAGES, _TOUR],
    "Each one appears in your private channel with buttons.": [_STAGES],
    "Only what you approve is uploaded to Tumblr.": [
        _TOUR,
        _UNAPPROVED,
        (PUBLISH, "test_an_upload_without_a_recorded_decision_is_refused_by_the_store"),
    ],
}

TRYING = {
    "With Python 3.11 or newer and pip, in a clone of this repository:": YOURS,
    "It sets itself up in `.venv` the first time, then shows a Discord channel as a page in your browser.": [
        _FIRST,
        _PAGE,
    ],
    'The bot behind the page is the real one; Discord, Tumblr and OpenAI are stand-ins on your own machine, and what "trains" '
    'and "writes" there is an n-gram, not a language model.': [_PAGE, _TOUR],
    "Type `/download` to begin, and follow the buttons.": [_PAGE],
    "`python3 -m bot demo --tour` walks through everything by itself and prints what you would have seen.": [_TOUR],
}

RUNNING = {
    "The first asks for what the bot needs.": [
        (f"{SETUP}/test_terminal.py", "test_from_an_empty_folder_to_a_bot_that_is_set_up")
    ],
    "Have these at hand; it takes about five minutes:": YOURS,
    "Discord.": [_SERVER],
    "Make an application in Discord's developer portal, and copy the token of its bot.": YOURS,
    "Setup prints a link that adds it to your server with five permissions: view channel, send messages, embed links, attach "
    "files, read message history.": [_SERVER, (README, "test_the_permissions_are_those_of_the_link")],
    "No privileged intent is needed.": [(README, "test_the_permissions_are_those_of_the_link")],
    "Then you choose the server and a private channel.": [_SERVER],
    "A model service.": [_KEY],
    "An API key of OpenAI, or of any service that speaks its API (`base_url`), Ollama for one.": [
        _KEY,
        (f"{SETUP}/test_model_service.py", "test_a_service_with_other_models_is_asked_for_one_that_writes"),
        ("tests/voices/test_any_chat_service.py", "test_an_answer_of_any_service_is_read"),
    ],
    "Tumblr.": [_ACCOUNT],
    "Register an application on Tumblr's page for OAuth applications.": YOURS,
    "Setup asks for its consumer key and secret, and connects your account.": [_ACCOUNT],
    "`/connect tumblr` does the same in Discord, but what you type there passes through Discord.": [
        (CONNECT, "test_the_whole_walk_and_a_download_right_after_it")
    ],
    "Blogs.": [_ACCOUNT],
    "You choose the blog that approved drafts go to, and those to learn from.": [_ACCOUNT],
    "`python3 -m bot check` tries every setting, token, permission, channel, quota and model it can reach, and says how to "
    "mend what is wrong.": [
        (_CHECK, "test_this_machine"),
        (_CHECK, "test_wrong_keys_of_tumblr"),
        (_CHECK, "test_what_tumblr_allows_and_whether_the_clock_is_right"),
        (_CHECK, "test_models"),
        (_CHECK, "test_a_permission_that_is_missing_is_named"),
        (MAIN, "test_check_without_accounts_finds_what_is_missing_and_how_to_mend_it"),
    ],
    "Coming from tumblrbot.": [_MOVED],
    "A `config.toml` of the command-line tool *tumblrbot* works here unchanged.": [
        (CONFIG, "test_a_file_of_2_x_loads_unchanged"),
        (CONFIG, "test_a_file_of_1_x_loads_unchanged"),
    ],
    "`python3 -m bot import PATH` moves a whole folder of it in: settings, posts, custom prompts, tokens.": [_MOVED],
    "It says what it took and what it could not.": [
        _MOVED,
        ("tests/test_moving_in.py", "test_options_that_are_wrong_or_unknown_are_named_and_the_others_taken"),
    ],
    "Run again, it changes nothing.": [("tests/test_moving_in.py", "test_the_second_time_nothing_changes")],
    "As a container.": [(PROJECT, "test_compose_gives_the_bot_no_more_than_it_needs")],
    "Put the two secrets in place that `compose.yaml` names, let `docker compose run --rm bot setup` ask for the rest, then "
    "`docker compose up -d`.": [
        (PROJECT, "test_compose_names_secrets_that_are_options"),
        (README, "test_compose_names_two_secrets"),
    ],
}

USING = {
    "`/connect`: Connects your Tumblr account, shows what is connected, disconnects it.": [
        (CONNECT, "test_the_whole_walk_and_a_download_right_after_it"),
        (CONNECT, "test_show_tests_the_connection_and_tells_what_is_left"),
        (CONNECT, "test_disconnecting_takes_a_second_press_and_forgets_the_tokens_alone"),
    ],
    "`/download`: Downloads the posts of your blog; later runs fetch what is new, and with the option *full* what was edited "
    "or deleted too.": [
        _STAGES,
        (DOWNLOADING, "test_what_was_deleted_on_the_blog_is_gone_here"),
        ("tests/pipeline/test_download.py", "test_a_full_pass_finds_edits_deletions_and_back_dated_posts"),
    ],
    "`/consent`: Records who says that a blog of somebody else may be downloaded; lists that, takes it back.": [
        _ASKED,
        (CONSENT, "test_many_consents_with_long_notes_fit_and_the_file_has_them_in_full"),
        _REVOKED,
    ],
    "`/examples`: Makes a numbered dataset, writes `training_data.jsonl`, and shows what went in, what was left out and why, "
    "and what training would cost.": [
        (EXAMPLES, "test_the_outcome_shows_what_goes_in_what_it_costs_and_what_was_left_out"),
        (EXAMPLES, "test_the_file_is_that_dataset_as_the_bot_wrote_it_and_made_from_the_database"),
    ],
    "`/moderate`: Has every example screened, and sets aside what is flagged until you keep or drop it.": [
        (SCREENING, "test_keep_one_drop_one_keep_a_category_and_the_file_follows")
    ],
    "With the option *batch* a large archive goes through the service's batch queue.": [
        (SCREENING, "test_batch_is_handed_to_the_stage"),
        ("tests/pipeline/test_moderate_batches.py", "test_a_dataset_is_screened_in_batches"),
    ],
    "`/finetune`: Shows what training would use and cost, and starts it with a button.": [
        _OFFER,
        (COMMANDS, "test_finetune_shows_the_price_and_spends_nothing_before_the_press"),
    ],
    "While it goes on, its message shows state and loss curve; it can be stopped, and let rest where the service knows "
    "that.": [
        _CURVE,
        (BUTTONS, "test_stop_cancels_a_training_at_its_service_too"),
        (TRAINING, "test_pause_and_resume"),
        (TRAINING, "test_a_service_that_cannot_let_a_training_rest_is_named_so"),
    ],
    "When it gives no voice: why, and what may help, as buttons.": [
        (TRAINING, "test_an_unsafe_file_offers_to_leave_more_out"),
        (TRAINING, "test_no_credit_says_where_to_look"),
        (TRAINING, "test_a_bad_file_is_named_with_its_line"),
    ],
    "`/generate`: Writes drafts, several at a time: as many as you say, with the voice and the prompt that you name.": [
        (COMMANDS, "test_generate_takes_a_count_and_a_prompt"),
        (GENERATING, "test_another_voice_writes_when_it_is_named"),
        ("tests/pipeline/test_writing.py", "test_so_many_are_written_at_a_time_and_each_once"),
    ],
    "Without a trained voice it shows real posts of yours to the model (few-shot).": [_FEW_SHOT],
    "`/voices`: Shows every voice with how its drafts were decided; says which one writes, renames, retires and adds them; "
    "lets two write to the same prompts for you to judge blind.": [
        (VOICES, "test_list_and_show_say_how_the_drafts_were_decided"),
        (VOICES, "test_use_goes_to_a_trained_voice_and_back_to_any_earlier_one"),
        (VOICES, "test_rename"),
        (VOICES, "test_retiring_the_voice_that_writes_falls_back_and_says_so"),
        (VOICES, "test_a_model_tuned_elsewhere_becomes_a_voice"),
        (VOICES, "test_two_voices_are_judged_blind"),
    ],
    "You are told 60, 14 and 2 days before the model of the voice that writes stops.": [
        (WATCH, "test_each_of_the_three_is_told_once_and_the_end_too"),
        (VOICES, "test_the_owner_is_told_in_the_channel_when_the_voice_stops"),
    ],
    "`/drafts`: *review* shows what waits, one draft after the other in one message; *list* finds drafts and decides about "
    "several at once; *show* posts one again; *export* gives all of them with all decisions.": [
        (REVIEW, "test_a_review_goes_through_what_waits_in_one_message"),
        (REVIEW, "test_the_list_is_filtered_by_state_voice_and_words"),
        (REVIEW, "test_several_drafts_are_approved_after_a_sentence_that_names_the_blog"),
        (COMMANDS, "test_drafts_show_posts_a_draft_anew_and_its_buttons_work"),
        (REVIEW, "test_drafts_are_exported_with_their_decisions"),
    ],
    "`/data`: The owner's alone.": [(DATA, "test_all_of_it_is_the_owners")],
    "*show* tells what is here and how much room it takes, *export* gives it away as files, *backup* makes a backup, *delete* "
    "removes a part or all of it after a preview, *audit* tells who did what.": [
        (DATA, "test_sizes_are_those_of_the_rows_and_the_files"),
        (DATA, "test_an_export_has_every_row_with_fields_that_are_explained_and_no_secret"),
        (DATA, "test_everything_goes_but_the_record_and_a_restore_brings_it_back_row_by_row"),
        (DATA, "test_the_audit_tells_who_did_what_before_and_after_in_pages"),
    ],
    "`/status`: Shows where everything stands: the stages, jobs with a button that cancels each, drafts, voice, money, "
    "quotas, health; and the next step as a button.": [
        (COMMANDS, "test_status_leads_through_the_stages"),
        (STATUS, "test_jobs_that_wait_or_have_failed_are_shown_and_cancelled_in_the_same_message"),
        (STATUS, "test_an_empty_bot_says_where_to_begin_and_what_is_missing"),
        (STATUS, "test_the_caps_and_the_last_backup_are_shown"),
    ],
    "`/budget`: Shows what this month and today have cost, by purpose and by model, what is set aside, and what is left.": [
        _RECENT
    ],
    "`/config`: *show* explains an option or lists all; *set* and *reset* change one, after a preview, in `config.toml` "
    "too.": [
        (SETTINGS, "test_an_option_is_explained_with_its_value_default_and_place"),
        (SETTINGS, "test_the_overview_keeps_discords_limits_and_the_file_has_everything_but_secrets"),
        (SETTINGS, "test_a_change_is_previewed_then_applied_at_once_with_file_and_audit"),
        (SETTINGS, "test_reset_brings_the_default_back"),
    ],
    "*secret* says whether one is set, tries it, or replaces it; none is shown.": [
        (KEYS, "test_of_each_secret_it_says_what_can_be_done_and_tries_it"),
        (KEYS, "test_a_key_is_replaced_used_at_once_and_shown_nowhere"),
    ],
    "[Who may do what](#who-may-do-what) says who can use these commands, and where.": YOURS,
    "A draft has four buttons.": [(README, "test_a_draft_has_the_buttons_that_are_named")],
    "*Approve* uploads it to `upload_blog_identifier`, as a Tumblr draft unless `upload_state` says otherwise; the message "
    "names the blog and what will happen before you press.": [
        _APPROVE,
        _WHERE,
        (README, "test_the_options_named_as_examples_are_one_and_the_same"),
    ],
    "*Edit* opens a form with its text and tags.": [(BUTTONS, "test_edit_shows_the_text_and_keeps_what_is_written")],
    "*Regenerate* sets it aside and writes another in the same voice, or in the voice in use where that one cannot write "
    "any more.": [
        (
            "tests/cogs/test_voices.py",
            "test_regenerate_writes_in_the_voice_of_the_draft_whichever_is_in_use",
        ),
        (
            "tests/cogs/test_voices.py",
            "test_a_voice_that_cannot_write_any_more_is_replaced_by_the_one_in_use_and_that_is_said",
        ),
        (BUTTONS, "test_regenerate_sets_the_draft_aside_and_shows_another"),
    ],
    "*Reject* keeps it from the blog.": [(BUTTONS, "test_reject_keeps_the_draft_from_the_blog")],
    "Buttons work after restarts, on messages of any age.": [
        (BUTTONS, "test_buttons_and_an_open_form_survive_a_restart"),
        (BUTTONS, "test_next_step_stop_and_training_buttons_survive_a_restart"),
        (EXAMPLES, "test_the_buttons_of_an_old_dataset_work_after_a_restart"),
    ],
    "[Deciding](#deciding) says how to change your mind, and how to decide with others.": YOURS,
    "With `reblog_blog_identifiers` some drafts reblog a post of one of those blogs, as often as `reblog_chance` says.": [
        ("tests/pipeline/test_generate.py", "test_reblogs_come_by_chance"),
        (REBLOGS, "test_without_blogs_to_reblog_nothing_is_looked_for"),
    ],
    "The draft shows the post it answers; the post is read again just before the upload.": [
        (REBLOGS, "test_the_parent_is_shown_and_approval_reblogs_it"),
        (PUBLISH, "test_a_reblog_goes_with_the_parent_as_it_is_now"),
    ],
}

OPTIONS = {
    "Every option can be given in `config.toml` or as an environment variable (`TUMBLRBOT_POST_LIMIT`, "
    "`TUMBLRBOT_TUMBLR__UPLOAD_STATE`), and all but secrets on the command line (`--post-limit 50`).": [
        (CONFIG, "test_every_option_but_secrets_is_on_the_command_line"),
        (CONFIG, "test_three_levels_and_lists_in_variables"),
        (MAIN, "test_help_lists_every_option_that_is_no_secret"),
    ],
    "The command line wins over the environment, the environment over the secrets folder, that over `data/secrets.toml`, and "
    "that over `config.toml`.": [
        (CONFIG, "test_precedence"),
        (CONFIG, "test_precedence_of_the_file_of_secrets"),
        (MAIN, "test_the_command_line_wins_over_environment_and_file"),
    ],
    "[Every option](bot/OPTIONS.md) has its name, meaning, default and places there.": [_OPTIONS_PAGE],
    "`python3 -m bot run --help` and `/config show` list them too.": [
        (MAIN, "test_help_of_run_describes_every_option"),
        (SETTINGS, "test_the_overview_keeps_discords_limits_and_the_file_has_everything_but_secrets"),
    ],
    "Secrets belong in environment variables (`TUMBLRBOT_DISCORD__TOKEN`) or in files of a secrets folder "
    "(`/run/secrets/tumblrbot_discord__token`), rather than in `config.toml`.": [(CONFIG, "test_secret_files")],
    "What you give to `/connect`, to setup or to import is kept in `data/secrets.toml`, readable by you alone.": [
        _PRIVATE,
        _MOVED,
        (f"{SETUP}/test_terminal.py", "test_from_an_empty_folder_to_a_bot_that_is_set_up"),
    ],
    "The bot shows none of them again.": [
        _SECRETS,
        (CONNECT, "test_nothing_secret_is_shown_logged_or_stored_in_the_database"),
    ],
}

COSTS = {
    "The bot itself is free, and so are Discord, Tumblr and the screening at OpenAI.": OF_OTHERS,
    "Two things cost money at OpenAI: training, once for each voice, and writing, for each draft.": [
        (PRICES, "test_costs")
    ],
    "With a model of your own on this machine neither does.": [
        _OWN_MODEL,
        (PRICES, "test_a_model_of_ones_own_on_this_machine_is_free_and_a_listed_one_is_not"),
    ],
    "These are estimates.": [_OPTIONS_PAGE],
    "Before a training and before a large run you are shown one for your own posts; a small run says as it begins what it "
    "and 100 drafts will cost.": [
        _OFFER,
        (GENERATING, "test_a_large_run_says_first_what_it_will_take"),
        (GENERATING, "test_a_small_run_begins_at_once_and_says_what_it_will_cost"),
    ],
    "`monthly_limit` is 20 dollars unless you change it; `per_day` and `per_run` set caps beside it.": [
        (README, "test_the_limit_that_is_named_is_the_default"),
        (BUDGET, "test_a_run_stops_at_its_cap_and_says_which"),
    ],
    "`/budget` shows what was spent.": [_RECENT],
}

RULES = {
    "What Tumblr, OpenAI and Discord ask of you and of this bot, in plain words.": YOURS,
    "Their own words count.": YOURS,
    "Tumblr.": OF_OTHERS,
    "Nothing may be posted without your own act, and you must know where it goes.": OF_OTHERS,
    "That is what *Approve* is for.": [_UNAPPROVED, _WHERE],
    "Other people's blogs.": [_ASKED],
    "The blogs of the connected account are free to use.": [(CONSENT, "test_a_blog_of_the_account_needs_no_consent")],
    "`/download` refuses any other until `/consent add` has recorded who says that it is allowed.": [_ASKED],
    "What comes from it (posts, examples, the training file, the post above a reblog) is removed `other_blogs_days` after it "
    "was last seen: three, because Tumblr's API License Agreement (3k and 7c) lets an application keep other people's content "
    "no longer.": [
        (CONSENT, "test_posts_of_others_go_after_three_days_and_the_accounts_own_stay"),
        (CONSENT, "test_what_is_seen_again_stays"),
        ("tests/pipeline/test_retention.py", "test_deleted_posts_go_from_posts_every_dataset_drafts_and_the_file"),
    ],
    "What somebody wants to have deleted has to go within 24 hours of their word.": OF_OTHERS,
    "`/consent revoke` removes what is here at once.": [_REVOKED],
    "Voices that were trained on it stay at their service; it is yours to delete them there.": YOURS,
    "An account may publish about 250 posts a day, and a queue holds 1,000.": OF_OTHERS,
    "A key may make 1,000 calls an hour and 5,000 a day, so a very large blog takes more than a day to download.": [
        ("tests/tumblr/test_quota.py", "test_what_is_used_up_stops_everything_until_the_reset"),
        (DOWNLOADING, "test_a_download_parks_until_the_hour_it_was_told"),
    ],
    "Using several keys to get around that is not allowed.": OF_OTHERS,
    "OpenAI.": OF_OTHERS,
    "Its fine-tuning is closing: to newcomers since May 2026, to everybody on 6 January 2027.": OF_OTHERS,
    "The tuned models stop on 14 January 2027.": OF_OTHERS,
    "The bot keeps working: `/generate` writes without training.": [
        _FEW_SHOT,
        (TRAINING, "test_a_service_that_trains_nobody_leads_to_few_shot"),
    ],
    "`/finetune` works at any service that offers OpenAI's files and fine-tuning-jobs API (`base_url` under "
    "`[openai.fine_tuning]`; Azure's too), or Together's own (`api`).": [
        (TRAINING, "test_what_was_offered_is_trained_whatever_the_settings_say_by_then"),
        (TRAINING, "test_azure_gets_its_files_with_a_mark"),
        (GENERATING, "test_a_voice_that_is_tuned_at_together_goes_the_same_way"),
    ],
    "A model that was tuned by hand elsewhere becomes a voice with `/voices add`.": [
        (VOICES, "test_a_model_tuned_elsewhere_becomes_a_voice")
    ],
    "It checks what models are trained on, and stops a training with too much that it flags.": OF_OTHERS,
    "`/moderate` screens for that before.": [(SCREENING, "test_the_outcome_counts_by_category_and_leads_on")],
    "Discord.": OF_OTHERS,
    "What people type in Discord may not train a model without their consent.": OF_OTHERS,
    "So edited texts teach nothing unless `teach_typed_text` says that everybody agrees.": [
        _TEACH,
        ("tests/pipeline/test_teach.py", "test_nothing_that_people_typed_comes_along_unasked"),
    ],
}

GOING_WRONG = {
    "The bot says what to do.": [_SENTENCES],
    "Whatever goes wrong, it says in one sentence what happened and in one what to do next.": [
        _SENTENCES,
        (PAGES, "test_no_error_is_made_whose_sentence_cannot_be_found"),
        ("tests/test_permissions.py", "test_every_refusal_is_a_sentence_and_a_next_step"),
        (CONNECT, "test_a_fault_at_any_step_is_a_sentence_and_leaves_the_old_connection"),
        ("tests/cogs/test_bad_luck.py", "test_writing_that_the_service_answers_badly"),
    ],
    "[All of these sentences](bot/SENTENCES.md) are listed by subject.": [
        _OPTIONS_PAGE,
        (PAGES, "test_sentences_are_found_however_they_are_written"),
    ],
    "Something unexpected.": [(FAILS, "test_a_defect_in_a_command_shows_a_reference")],
    "It shows a short reference.": [
        (FAILS, "test_a_defect_in_a_command_shows_a_reference"),
        (FAILS, "test_a_defect_behind_a_button_or_a_form_shows_a_reference"),
        (FAILS, "test_a_defect_in_a_stage_shows_a_reference"),
    ],
    "The log has the details under it.": [(FAILS, "test_a_defect_in_a_command_shows_a_reference")],
    "It does not answer.": [_BEATS],
    "`python3 -m bot health` says whether it is well, and `python3 -m bot check` what is missing.": [
        _BEATS,
        (MAIN, "test_check_without_accounts_finds_what_is_missing_and_how_to_mend_it"),
    ],
}

KEEPING = {
    "One folder.": [(README, "test_everything_between_backticks_exists")],
    "All that the bot keeps is in `data/`, `config.toml` aside: `bot.sqlite3`, `secrets.toml`, `training_data.jsonl` for you "
    "to read, and `custom_prompts.jsonl` for examples of your own.": [
        (README, "test_everything_between_backticks_exists"),
        (CONFIG, "test_nothing_given_is_the_defaults"),
    ],
    "Before the database changes its shape, a copy of it is kept beside it.": [
        ("tests/store/test_database.py", "test_a_migration_keeps_the_data_and_a_copy")
    ],
    "[Backups](#backups) are in a folder of their own.": [
        ("tests/test_backup.py", "test_the_bot_makes_one_by_itself_while_it_runs")
    ],
    "Health.": [_BEATS],
    "`python3 -m bot health` says whether the running bot is well, with exit status 0 or 1; the container uses it.": [
        _BEATS,
        (README, "test_the_container_asks_for_health"),
    ],
    "The log.": [(LOGS, "test_each_line_says_what_it_belongs_to")],
    "Each line names the interaction or the job that it belongs to, and no secret of the settings is in any.": [
        (LOGS, "test_each_line_says_what_it_belongs_to"),
        (LOGS, "test_no_secret_in_a_message_its_arguments_or_its_traceback"),
        _SECRETS,
    ],
    "`python3 -m bot run --log-format json` writes it as JSON.": [
        (LOGS, "test_json_is_one_object_a_line"),
        (MAIN, "test_the_log_has_the_form_that_was_asked_for_and_no_secret"),
    ],
}

WORKING = {
    "`.ci/run` runs what CI runs; `python3 -m tests` runs the tests alone.": [
        (PROJECT, "test_defaults_of_the_test_command")
    ],
    "[For whoever carries on](bot/README.md) has the map of the house, and how to add a stage, a voice, a setting, a "
    "command.": [
        (PAGES, "test_the_map_names_every_room"),
        (PAGES, "test_what_the_page_for_developers_names_exists"),
    ],
}

PARTS = {
    "": BEGINNING,
    "Try it, without any account": TRYING,
    "Run it for real": RUNNING,
    "Use it": USING,
    "Options": OPTIONS,
    "What it costs": COSTS,
    "The rules": RULES,
    "When something goes wrong": GOING_WRONG,
    "Keep it running": KEEPING,
    "Work on it": WORKING,
}
