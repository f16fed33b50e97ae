"""README.md says nothing that is not so: what it names exists, and what it promises has a test."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import discord
import pytest
import yaml

from bot import bootstrap
from bot.__main__ import _parser
from bot.app import App
from bot.client import PERMISSIONS, Client
from bot.config import SECRETS_DIRECTORY, SECRETS_FILE, Settings, options
from bot.demo.world import GUILD_ID
from tests import promises
from tests.cogs.acts import buttons, small_world, written

REPOSITORY = Path(__file__).parents[1]
README = (REPOSITORY / "README.md").read_text("utf-8")

STRANGERS, RULE = "tests/cogs/test_strangers.py", "tests/test_permissions.py"
REFUSED = [(STRANGERS, "test_whoever_may_not_is_refused_everything_and_nothing_happens")]
PLACES = [(STRANGERS, "test_commands_work_in_the_one_channel_and_buttons_where_they_stand")]
WHO = {
    "The owner.": [(STRANGERS, "test_the_owner_of_the_application_needs_no_entry_in_the_settings")],
    "Whoever owns the Discord application, and the people in `owner_ids`, may do everything.": [
        (RULE, "test_each_may_do_what_is_theirs_and_what_is_below"),
        (STRANGERS, "test_the_owner_of_the_application_needs_no_entry_in_the_settings"),
    ],
    "Accounts, consent, options, the register of voices, money beside the budget and the export of what decisions teach are "
    "theirs alone.": REFUSED,
    "Reviewers.": [(RULE, "test_each_may_do_what_is_theirs_and_what_is_below")],
    "Those with a role in `reviewer_role_ids` run the stages, see everything else, and decide about drafts; with "
    "`decider_role_ids` only some of them decide.": [
        ("tests/cogs/test_commands.py", "test_the_five_stages_one_after_the_other_by_their_buttons"),
        ("tests/cogs/test_buttons.py", "test_approve_puts_the_draft_on_the_blog_and_leaves_a_receipt"),
        ("tests/cogs/test_draft_life.py", "test_only_the_roles_that_decide_decide"),
    ],
    "Everybody else.": REFUSED,
    "They get a private refusal to whatever they use or press, nothing to choose from while they type, and change nothing.": [
        *REFUSED,
        (STRANGERS, "test_a_form_sent_by_somebody_who_is_a_stranger_by_now_changes_nothing"),
    ],
    "To administer the server is no exception.": REFUSED,
    "One server, one channel.": PLACES,
    "Commands work in the channel `channel_id` of the server `guild_id` and in its threads, in any channel of that server "
    "where none is set or it was deleted, and nowhere in direct messages.": [*REFUSED, *PLACES],
    "Buttons work wherever on that server the bot has posted them.": PLACES,
}
"""Each sentence under "Who may do what", and the tests that fail when it stops being true."""

EXAMPLES, SCREENING = "tests/pipeline/test_examples.py", "tests/cogs/test_screening.py"
LEARNS_FROM = {
    "Only your own words.": [(EXAMPLES, "test_only_the_owners_own_words_become_examples")],
    "An example is a published post that holds nothing but text of yours: no reblog, no ask, no submission, no picture.": [
        (EXAMPLES, "test_only_the_owners_own_words_become_examples")
    ],
    "With `include_answers` the asks that you answered come along, with `include_reblog_comments` what you wrote below a "
    "reblogged post.": [(EXAMPLES, "test_answers_and_comments_come_along_only_when_asked_for")],
    "Filters.": [(EXAMPLES, "test_everything_that_is_left_out_is_counted_by_its_reason")],
    "`date_limit` leaves out what is older.": [(EXAMPLES, "test_the_date_limit_is_inclusive")],
    "`filtered_words` leaves out posts in which one of its patterns is found, whatever the case.": [
        (EXAMPLES, "test_filtered_words_are_patterns_in_any_case")
    ],
    "`post_limit` keeps the newest of each blog that are left.": [
        (EXAMPLES, "test_post_limit_counts_what_the_filters_leave")
    ],
    "Of posts that are the same, or nearly, the newest stays.": [
        (EXAMPLES, "test_of_posts_that_are_nearly_the_same_the_newest_stays")
    ],
    "`example_token_limit` leaves out what is longer.": [
        (EXAMPLES, "test_everything_that_is_left_out_is_counted_by_its_reason")
    ],
    "Nothing is lost from sight.": [(EXAMPLES, "test_everything_that_is_left_out_is_counted_by_its_reason")],
    "Whatever was left out is counted by its reason, and shown by a button.": [
        ("tests/cogs/test_examples.py", "test_a_reason_leads_to_its_posts_with_links")
    ],
    "Held out.": [(EXAMPLES, "test_the_newest_tenth_is_held_out_and_never_in_the_training_file")],
    "The newest posts, as many as `held_out_share` says, are never trained on.": [
        (EXAMPLES, "test_the_newest_tenth_is_held_out_and_never_in_the_training_file")
    ],
    "Edited by hand.": [(EXAMPLES, "test_an_edited_file_is_taken_in_as_a_new_dataset")],
    "A `training_data.jsonl` that you edited becomes a dataset of its own with the next `/examples`; a line that cannot be "
    "used is named, and nothing is overwritten.": [
        (EXAMPLES, "test_an_edited_file_is_taken_in_as_a_new_dataset"),
        (EXAMPLES, "test_a_broken_edit_is_named_by_its_line_and_nothing_is_overwritten"),
    ],
    "Screened once.": [("tests/pipeline/test_moderate.py", "test_each_text_is_judged_once_over_all_runs")],
    "A text that was judged is not sent again.": [
        ("tests/pipeline/test_moderate.py", "test_each_text_is_judged_once_over_all_runs")
    ],
    "What is flagged is set aside until somebody decides, and who decided what is kept.": [
        (SCREENING, "test_keep_one_drop_one_keep_a_category_and_the_file_follows")
    ],
}
"""Each sentence under "What it learns from", and the tests that fail when it stops being true."""

LIFE, REVIEW, REMOVE = "tests/cogs/test_draft_life.py", "tests/cogs/test_review.py", "tests/pipeline/test_remove.py"
DECIDING = {
    "Changing your mind.": [(REMOVE, "test_a_drafts_life_under_any_luck")],
    "A rejected draft comes back by its button Undo, and so does an approved one that has not been sent.": [
        (LIFE, "test_a_rejection_can_be_explained_and_taken_back"),
        (LIFE, "test_published_drafts_take_turns_and_a_waiting_one_can_be_taken_back"),
    ],
    "One that is a Tumblr draft or queued is deleted there after you confirm it, and waits again once it is certain that it "
    "is gone; what has been published is never deleted.": [
        (LIFE, "test_undo_of_an_upload_asks_first_and_deletes_then"),
        (REMOVE, "test_a_lost_answer_is_settled_by_looking"),
        (REMOVE, "test_what_has_been_published_is_never_deleted"),
    ],
    "A draft that was set aside can be brought back.": [
        (LIFE, "test_a_replaced_draft_is_brought_back_and_can_be_regenerated_again")
    ],
    "Many at once.": [(REVIEW, "test_a_hundred_drafts_take_one_message_and_a_hundred_presses")],
    "A review takes one message, however many drafts wait.": [
        (REVIEW, "test_a_hundred_drafts_take_one_message_and_a_hundred_presses")
    ],
    "Several drafts of a list are approved after a sentence that names the blog and their number; what was decided or "
    "changed meanwhile is left out.": [
        (REVIEW, "test_several_drafts_are_approved_after_a_sentence_that_names_the_blog"),
        (REVIEW, "test_a_text_that_changed_since_it_was_listed_is_not_approved"),
    ],
    "Together.": [(LIFE, "test_a_draft_that_needs_two_goes_only_with_the_second")],
    "With `approvals_needed` a draft goes only when so many people have approved the same text.": [
        (LIFE, "test_a_draft_that_needs_two_goes_only_with_the_second"),
        (LIFE, "test_two_presses_of_one_person_at_once_count_once"),
    ],
    "With `decider_role_ids` only those roles decide.": [(LIFE, "test_only_the_roles_that_decide_decide")],
    "When two people press at once, one decision counts and the other person is told.": [
        ("tests/cogs/test_buttons.py", "test_two_people_at_once_make_one_decision"),
        (REVIEW, "test_two_people_who_review_at_once_decide_once_each"),
    ],
    "A press on a message that does not show the newest text yet decides nothing.": [
        (LIFE, "test_a_text_that_the_message_does_not_show_yet_is_not_decided"),
        (LIFE, "test_an_old_message_of_a_draft_approves_only_what_it_shows"),
    ],
    "Time.": [(LIFE, "test_after_a_pause_they_still_keep_their_distance")],
    "With `posts_a_day` published and queued posts keep their distance.": [
        (LIFE, "test_published_drafts_take_turns_and_a_waiting_one_can_be_taken_back"),
        (LIFE, "test_a_queue_is_told_when"),
    ],
    "With `expiry_days` the bot rejects what nobody decided about, and Undo brings it back.": [
        (LIFE, "test_a_draft_that_nobody_decides_about_expires_and_comes_back")
    ],
    "With `reminder_hour` the channel is told once a day what waits.": [
        (LIFE, "test_the_reminder_comes_once_a_day_and_pings_nobody")
    ],
    "What decisions teach.": [(REVIEW, "test_what_decisions_teach_is_the_owners_and_leaves_typed_texts_out")],
    "The export for preference tuning holds what a voice wrote, and which text was better than which.": [
        (REVIEW, "test_what_decisions_teach_is_the_owners_and_leaves_typed_texts_out"),
        ("tests/pipeline/test_teach.py", "test_what_is_kept_is_better_than_all_that_it_was_written_instead_of"),
    ],
    "What people typed is in it only with `teach_typed_text`.": [
        (REVIEW, "test_what_decisions_teach_is_the_owners_and_leaves_typed_texts_out"),
        ("tests/pipeline/test_teach.py", "test_nothing_that_people_typed_comes_along_unasked"),
    ],
}
"""Each sentence under "Deciding", and the tests that fail when it stops being true."""

TRAINING, WRITING = "tests/cogs/test_training.py", "tests/pipeline/test_writing.py"
STATES, REGISTER = "tests/pipeline/test_training_states.py", "tests/cogs/test_voices.py"
VOICES = {
    "Never a dead end.": [(TRAINING, "test_a_service_that_trains_nobody_leads_to_few_shot")],
    "Where a service trains nothing for your account, the bot says so, deletes what it has uploaded there, and writes with "
    "few-shot at the press of a button, as it does where the model of a voice is gone.": [
        (TRAINING, "test_a_service_that_trains_nobody_leads_to_few_shot"),
        ("tests/cogs/test_generating.py", "test_a_voice_whose_model_is_gone_leads_to_few_shot"),
    ],
    "What was refused halfway goes on from there once it is mended, without a second upload.": [
        ("tests/cogs/test_bad_luck.py", "test_a_training_that_the_service_answers_badly"),
        (
            "tests/pipeline/test_training_states.py",
            "test_refused_for_what_can_be_mended_it_goes_on_with_the_same_files",
        ),
    ],
    "Nothing without a press.": [
        (TRAINING, "test_delete_uploaded_files_is_asked_and_done_by_a_press"),
        (TRAINING, "test_a_training_that_only_stop_ends_is_cancelled_in_the_owners_name"),
    ],
    "Nothing is uploaded, paid for, cancelled or deleted at a model service before somebody pressed a button that says so; "
    "who pressed what is recorded.": [
        (TRAINING, "test_cancel_begins_nothing"),
        (TRAINING, "test_delete_uploaded_files_is_asked_and_done_by_a_press"),
        (TRAINING, "test_a_training_that_only_stop_ends_is_cancelled_in_the_owners_name"),
        ("tests/cogs/test_commands.py", "test_finetune_shows_the_price_and_spends_nothing_before_the_press"),
    ],
    "Trained once.": [(STATES, "test_whatever_happens_there_is_one_upload_one_job_and_the_outcome_of_the_last_status")],
    "Whatever is cut off and whenever the bot is killed, each file of a training is uploaded once and one job is begun.": [
        (STATES, "test_whatever_happens_there_is_one_upload_one_job_and_the_outcome_of_the_last_status"),
        ("tests/process/test_training_kills.py", "test_a_training_survives_kills"),
    ],
    "A call whose answer was lost is not made again before the service has had a minute to act on it.": [
        (STATES, "test_what_the_service_does_late_is_not_asked_for_again")
    ],
    "A service that does not answer while it trains is asked again for a day.": [
        (STATES, "test_a_service_that_is_away_for_hours_is_asked_again_less_and_less_often"),
        (STATES, "test_after_a_day_without_an_answer_nobody_waits_any_more"),
    ],
    "To and fro.": [(REGISTER, "test_use_goes_to_a_trained_voice_and_back_to_any_earlier_one")],
    "A voice keeps the messages it was trained with, and an earlier one writes again with one command.": [
        ("tests/voices/test_register.py", "test_a_trained_voice_is_asked_with_the_words_it_was_trained_with"),
        (REGISTER, "test_use_goes_to_a_trained_voice_and_back_to_any_earlier_one"),
    ],
    "The owner is told 60, 14 and 2 days before the model of the voice that writes stops, and what to do.": [
        (REGISTER, "test_the_owner_is_told_in_the_channel_when_the_voice_stops")
    ],
    "Two voices are compared without anybody knowing whose text is whose before the verdict.": [
        (REGISTER, "test_two_voices_are_judged_blind")
    ],
    "Few-shot.": [("tests/voices/test_few_shot.py", "test_the_blogs_own_posts_are_shown_after_the_instructions")],
    "The prompt shows real posts, never held-out ones: a part that stays the same, so that a service with a cache charges "
    "less for it, and a few that change or fit what you ask for.": [
        ("tests/voices/test_few_shot.py", "test_what_is_held_out_is_never_shown"),
        (
            "tests/voices/test_few_shot.py",
            "test_the_part_that_stays_is_the_same_from_draft_to_draft_and_after_a_restart",
        ),
        ("tests/voices/test_few_shot.py", "test_a_persons_prompt_comes_with_the_posts_that_fit_it"),
        ("tests/voices/test_few_shot.py", "test_the_usual_prompt_comes_with_a_few_posts_drawn_anew_for_each_draft"),
    ],
    "No copies.": [(WRITING, "test_a_copy_of_a_post_is_written_anew_and_then_held_back_with_why")],
    "A draft that copies a post, repeats a draft, is flagged or cut off is written anew, `rewrites` times at the most.": [
        (WRITING, "test_a_copy_of_a_post_is_written_anew_and_then_held_back_with_why"),
        (WRITING, "test_a_draft_that_another_one_says_already_is_written_anew_also_when_both_are_written_at_once"),
        (WRITING, "test_a_text_that_is_flagged_is_held_back_and_names_the_category"),
        (WRITING, "test_a_text_that_was_cut_off_is_written_anew"),
    ],
    "After that it is shown as held back, with why.": [
        (WRITING, "test_a_copy_of_a_post_is_written_anew_and_then_held_back_with_why")
    ],
    "`allowed_phrases` do not count.": [(WRITING, "test_allowed_phrases_do_not_count")],
    "No mentions.": [(WRITING, "test_mentions_and_invites_are_defused")],
    "Mentions and invites in a draft are made harmless.": [
        (WRITING, "test_what_was_defused_is_said_and_holds_nothing_back")
    ],
    "What was paid for is kept.": [(WRITING, "test_a_failure_keeps_what_was_written_beside_it")],
    "A text is stored with its cost before anything else is done with it.": [
        (WRITING, "test_killed_between_a_text_and_its_draft_the_text_is_not_paid_for_again")
    ],
    "A run that is stopped or killed goes on with what is missing, and no more.": [
        (WRITING, "test_stopped_in_the_middle_what_is_under_way_is_kept_and_nothing_more_is_paid"),
        ("tests/pipeline/test_generate.py", "test_killed_during_any_call_only_that_one_is_made_again"),
    ],
}
"""Each sentence under "Voices and drafts", and the tests that fail when it stops being true."""

BACKUP, RETENTION = "tests/test_backup.py", "tests/pipeline/test_retention.py"
BUDGET = "tests/cogs/test_budget.py"
EDITS, KEYS = "tests/cogs/test_settings_edits.py", "tests/cogs/test_config_secret.py"
SETTINGS_AND_MONEY = {
    "Edited by hand.": [(EDITS, "test_an_edit_takes_effect_and_is_told_and_recorded")],
    "An edit of `config.toml` is noticed while the bot runs: what is allowed takes effect, what needs a restart or is wrong "
    "is said in the channel, and where a value is wrong the old one stays.": [
        (EDITS, "test_an_edit_takes_effect_and_is_told_and_recorded"),
        (EDITS, "test_what_needs_a_restart_or_is_overruled_is_said_so"),
        (EDITS, "test_what_is_wrong_is_told_once_in_the_models_words_and_the_old_value_stays"),
    ],
    "Secrets.": [(KEYS, "test_secrets_are_the_owners_alone")],
    "`/config secret` never shows one.": [(KEYS, "test_a_key_is_replaced_used_at_once_and_shown_nowhere")],
    "A key for a model service that the service does not accept changes nothing; another one is used at once.": [
        (KEYS, "test_a_key_is_replaced_used_at_once_and_shown_nowhere")
    ],
    "The last fifth.": [(BUDGET, "test_the_owner_is_told_once_of_each_month_and_day")],
    "When a fifth of the month's or the day's budget is left, the owner is told once, and the offers and progress of "
    "`/finetune` and `/generate` say so.": [
        (BUDGET, "test_the_owner_is_told_once_of_each_month_and_day"),
        (BUDGET, "test_offers_name_the_cap_that_binds_and_warn_in_the_last_fifth"),
        (BUDGET, "test_the_progress_of_what_costs_warns_in_the_last_fifth"),
    ],
    "An offer names the cap that a run would meet first.": [
        (BUDGET, "test_offers_name_the_cap_that_binds_and_warn_in_the_last_fifth")
    ],
}
"""Each sentence under "Settings and money", and the tests that fail when it stops being true."""

BACKUPS = {
    "Whole.": [(BACKUP, "test_what_is_in_it_and_what_never_is")],
    "`python3 -m bot backup` makes a zip of the database, the training data, the custom prompts and `config.toml`, while the "
    "bot runs too.": [
        (BACKUP, "test_what_is_in_it_and_what_never_is"),
        (BACKUP, "test_it_is_made_while_the_bot_writes_and_drops_none_of_its_locks"),
    ],
    "What comes back is the original, row by row.": [(BACKUP, "test_a_restore_is_the_original_row_by_row")],
    "Without secrets.": [("tests/cogs/test_secrets.py", "test_no_secret_is_written_anywhere")],
    "No key or token is in it, not even one that stands in `config.toml`.": [
        (BACKUP, "test_what_is_in_it_and_what_never_is"),
        ("tests/cogs/test_secrets.py", "test_no_secret_is_written_anywhere"),
    ],
    "Every night.": [(BACKUP, "test_the_bot_makes_one_by_itself_while_it_runs")],
    "The running bot makes one a day and keeps the newest seven, or as many as the option backups of the section retention "
    "says.": [
        (BACKUP, "test_the_bot_makes_one_by_itself_while_it_runs"),
        (BACKUP, "test_as_many_nightly_backups_are_kept_as_the_settings_say"),
    ],
    "A backup that holds posts of somebody else is removed when they must be.": [
        (RETENTION, "test_a_backup_goes_when_the_oldest_of_what_it_holds_of_others_must"),
        (RETENTION, "test_a_backup_goes_with_the_blog_whose_consent_is_taken_back"),
    ],
    "Back again.": [(BACKUP, "test_a_restore_is_the_original_row_by_row")],
    "`python3 -m bot restore FILE` puts one back, and keeps what was there before.": [
        (BACKUP, "test_what_a_person_types_and_is_told"),
        (BACKUP, "test_what_was_there_is_kept"),
    ],
    "It refuses a running bot, a newer database and a damaged file, and changes nothing then.": [
        (BACKUP, "test_a_running_bot_is_not_restored_under"),
        (BACKUP, "test_nothing_hostile_or_damaged_gets_in"),
    ],
    "What was about to be uploaded waits for a decision again, and what was being worked on is not gone on with: both may "
    "have been done since.": [(BACKUP, "test_what_was_about_to_happen_does_not_happen_a_second_time")],
    "Where its `config.toml` would send keys elsewhere, let others decide or move files, it asks first; where nobody can be "
    "asked, what is set here stays.": [
        (BACKUP, "test_a_backup_changes_no_address_no_owner_and_no_place_unasked"),
        (BACKUP, "test_however_it_is_written"),
        (BACKUP, "test_whoever_made_the_backup_takes_its_addresses_over"),
    ],
}
"""Each sentence under "Backups", and the tests that fail when it stops being true."""
_UPGRADES = "tests/store/test_versions.py"
_OPENED = (_UPGRADES, "test_a_database_of_each_version_is_brought_up_to_date")
_GONE_ON = (_UPGRADES, "test_the_bot_goes_on_with_a_database_of_each_version")
_KILLED = (_UPGRADES, "test_a_kill_at_any_step_of_the_migrations_leaves_a_whole_database_and_the_copy")
_RESTORED = (_UPGRADES, "test_a_backup_of_each_version_is_restored_and_brought_up_to_date")
_TOO_NEW = ("tests/store/test_database.py", "test_a_database_newer_than_the_program")
UPGRADING = {
    "Forward.": [_OPENED],
    "Stop the bot, put the new version in its place, and start it.": [_GONE_ON],
    "It opens the database of any earlier version, loses nothing of it, and goes on with what was under way; buttons of old "
    "messages work.": [_OPENED, _GONE_ON],
    "The copy.": [_OPENED],
    "Before the shape of the database changes, a copy is kept beside it; its name ends with before and the number of the "
    "change.": [_OPENED],
    "A kill in the middle leaves the old shape or a newer one, whole, and the copy.": [_KILLED],
    "Old backups.": [_RESTORED],
    "One that an earlier version made can be restored; the bot brings it up to date when it starts.": [_RESTORED],
    "Back.": [_TOO_NEW],
    "A version refuses the database of a newer one, and says so.": [_TOO_NEW],
    "To go back, stop the bot, move `bot.sqlite3` and the files beside it that end with wal and shm away, and give the copy "
    "that name.": [_OPENED],
}
"""Each sentence under "Upgrading", and the tests that fail when it stops being true."""
DATA = "tests/cogs/test_data.py"
_EXPORT = (DATA, "test_an_export_has_every_row_with_fields_that_are_explained_and_no_secret")
_LARGE = (DATA, "test_an_export_too_large_for_discord_stays_here_until_what_it_holds_must_go")
_DRAFTS = (DATA, "test_drafts_that_never_went_to_the_blog_go_and_nothing_is_written_in_their_place")
_POSTS = (DATA, "test_the_posts_of_a_blog_go_with_every_byte_once_a_backup_has_them")
_DATASET = (DATA, "test_a_dataset_goes_with_its_file_and_what_was_trained_on_it_stays")
_EVERYTHING = (DATA, "test_everything_goes_but_the_record_and_a_restore_brings_it_back_row_by_row")
_PILED = (DATA, "test_what_stays_until_somebody_removes_it_is_shown_and_deleted_after_a_second_press")
YOUR_DATA = {
    "Taken away.": [_EXPORT],
    "The command `/data export` gives posts, datasets, drafts, decisions, the audit or all of it as JSON Lines in a zip, "
    "with a file that says what each field means.": [_EXPORT],
    "No key or token is in it.": [_EXPORT],
    "What is too large for Discord is left in the folder exports of `data/`, and goes when posts of somebody else in it "
    "must.": [_LARGE],
    "What piles up.": [_PILED],
    "The command `/data show` lists the files that stay until somebody removes them, with their size and age: exports, "
    "backups made by hand, and what a restore or an update kept.": [_PILED],
    "The owner deletes them there, with a second press.": [_PILED],
    "Deleted.": [_POSTS],
    "Posts of a blog, a dataset, drafts or everything are deleted only after a preview of what goes, what depends on it and "
    "what stays, once the owner has typed it out.": [_DRAFTS, _DATASET, _POSTS, _EVERYTHING],
    "A backup is made first, and without one nothing is deleted.": [_POSTS],
    "It is kept for as many days as there are nightly ones, and what was deleted can be put back from it, row by row.": [
        (BACKUP, "test_one_from_before_a_deletion_is_kept_as_long_as_the_nightly_ones"),
        _EVERYTHING,
    ],
    "What stays.": [_EVERYTHING],
    "What is on Tumblr, files and models at services, and messages in Discord.": [_EVERYTHING],
    "The record stays too: money, the audit, consents, trainings and voices, and every draft that was ever sent to "
    "Tumblr.": [_EVERYTHING],
    "What is in use by a running job, or on its way to the blog, is not deleted.": [_POSTS, _DATASET, _DRAFTS],
    "Who did what.": [(DATA, "test_the_audit_tells_who_did_what_before_and_after_in_pages")],
    "The command `/data audit` shows it with before and after, by person and by action; only the owner sees it.": [
        (DATA, "test_the_audit_tells_who_did_what_before_and_after_in_pages"),
        (DATA, "test_all_of_it_is_the_owners"),
    ],
}
"""Each sentence under "Your data", and the tests that fail when it stops being true."""

SETUP = "tests/setup"
SETTING_UP = {
    "Skip anything.": [
        (f"{SETUP}/test_discord.py", "test_every_question_of_it_can_be_skipped"),
        (f"{SETUP}/test_tumblr.py", "test_every_question_can_be_skipped"),
    ],
    "Enter skips a question and keeps what is set.": [
        (f"{SETUP}/test_discord.py", "test_a_bot_is_connected_and_gets_its_server_and_its_channel"),
        (f"{SETUP}/test_model_service.py", "test_a_key_is_tried_for_free_and_kept"),
        (f"{SETUP}/test_tumblr.py", "test_an_account_is_connected_and_its_blogs_chosen"),
    ],
    "Run again, setup shows what is set and changes only what you answer.": [
        (f"{SETUP}/test_terminal.py", "test_from_an_empty_folder_to_a_bot_that_is_set_up"),
        (f"{SETUP}/test_discord.py", "test_a_bot_is_connected_and_gets_its_server_and_its_channel"),
    ],
    "After Ctrl+C, what was answered before is kept.": [
        (f"{SETUP}/test_terminal.py", "test_ctrl_c_keeps_what_was_answered"),
        (f"{SETUP}/test_tumblr.py", "test_it_can_be_left_at_any_question"),
    ],
    "Tried at once.": [(f"{SETUP}/test_model_service.py", "test_a_key_is_tried_for_free_and_kept")],
    "Tokens and keys are tried as you give them, at no cost; a wrong one gets a sentence and another try.": [
        (f"{SETUP}/test_discord.py", "test_a_wrong_token_gets_a_sentence_and_another_try"),
        (f"{SETUP}/test_model_service.py", "test_a_key_is_tried_for_free_and_kept"),
        (f"{SETUP}/test_tumblr.py", "test_wrong_keys_are_explained_and_asked_for_again"),
    ],
    "Server and channel.": [
        (f"{SETUP}/test_discord.py", "test_a_bot_is_connected_and_gets_its_server_and_its_channel")
    ],
    "Servers and channels are listed to choose from, with the permissions that the bot lacks there and a remark where "
    "everybody reads along.": [
        (f"{SETUP}/test_discord.py", "test_a_bot_is_connected_and_gets_its_server_and_its_channel")
    ],
    "Secrets.": [(f"{SETUP}/test_terminal.py", "test_from_an_empty_folder_to_a_bot_that_is_set_up")],
    "Keys and tokens are not shown as you paste them.": [
        (f"{SETUP}/test_terminal.py", "test_from_an_empty_folder_to_a_bot_that_is_set_up"),
        (f"{SETUP}/test_terminal.py", "test_ctrl_c_keeps_what_was_answered"),
    ],
    "They are kept in `data/secrets.toml`, readable by you alone; all else goes into `config.toml`, whose comments and order "
    "stay.": [(f"{SETUP}/test_terminal.py", "test_from_an_empty_folder_to_a_bot_that_is_set_up")],
    "For scripts.": [(f"{SETUP}/test_unattended.py", "test_what_is_given_is_tried_written_and_complete")],
    "`python3 -m bot setup --no-input` asks nothing.": [
        (f"{SETUP}/test_unattended.py", "test_what_is_given_is_tried_written_and_complete")
    ],
    "It tries what options and environment variables give, writes down what is not refused, and lists what is missing; its "
    "exit status is 0 only when all is set.": [
        (f"{SETUP}/test_unattended.py", "test_what_is_given_is_tried_written_and_complete"),
        (f"{SETUP}/test_unattended.py", "test_what_is_refused_is_not_written"),
        (f"{SETUP}/test_unattended.py", "test_what_is_missing_is_listed"),
    ],
}
"""Each sentence under "Setting up", and the tests that fail when it stops being true."""

PROMISES = {
    "Never twice, never lost.": [
        ("tests/pipeline/test_publish.py", "test_never_twice_and_never_lost"),
        ("tests/process/test_kills.py", "test_an_upload_survives_kills"),
        ("tests/process/test_kills.py", "test_a_download_survives_kills"),
    ],
    "An upload is written down before it is sent.": [
        ("tests/store/test_drafts.py", "test_an_upload_is_written_down_and_counted"),
        ("tests/cogs/test_restart.py", "test_an_upload"),
    ],
    "When Tumblr's answer is lost, the bot looks at the blog before it does anything else, and asks you when looking "
    "does not settle it.": [
        ("tests/cogs/test_buttons.py", "test_a_lost_answer_is_first_looked_for_and_found"),
        ("tests/cogs/test_buttons.py", "test_it_is_on_the_blog_settles_a_lost_answer"),
        ("tests/cogs/test_buttons.py", "test_send_again_sends_once_more_and_never_by_itself"),
    ],
    "Survives every crash.": [
        ("tests/jobs/test_kill.py", "test_killed_a_few_times"),
        ("tests/process/test_kills.py", "test_a_download_survives_kills"),
        ("tests/process/test_posting_kills.py", "test_killed_before_the_messages_are_noted"),
    ],
    "Jobs go on where they were; the message that shows them goes on being edited.": [
        ("tests/test_app.py", "test_a_job_goes_on_after_a_restart"),
        ("tests/cogs/test_restart.py", "test_a_download"),
        ("tests/pipeline/test_finetune.py", "test_cut_off_at_any_step_it_repeats_nothing"),
        ("tests/pipeline/test_moderate.py", "test_stopped_at_any_step_nothing_is_judged_twice_but_what_was_in_flight"),
        ("tests/pipeline/test_generate.py", "test_killed_during_any_call_only_that_one_is_made_again"),
    ],
    "Never overspends.": [("tests/pipeline/test_generate.py", "test_the_bill_never_passes_the_budget")],
    "Each paid call is reserved against `monthly_limit` first.": [
        ("tests/test_app.py", "test_the_budget_of_the_settings_holds_for_every_stage"),
        ("tests/store/test_spending.py", "test_an_open_reservation_counts_in_full_and_a_settled_one_as_it_was"),
    ],
    "A run that would pass it stops with a sentence, and goes on when the owner allows more for that month.": [
        ("tests/cogs/test_training.py", "test_a_training_beyond_the_budget_asks_and_only_the_owner_may_allow_it"),
        ("tests/cogs/test_bad_luck.py", "test_the_budget_stops_the_next_call_and_keeps_what_was_written"),
        ("tests/pipeline/test_finetune.py", "test_nothing_is_sent_that_the_budget_does_not_cover"),
    ],
    "Costs shown are estimates from a price table; the bill is the service's own.": [
        ("tests/language/test_tokens_and_prices.py", "test_costs"),
        ("tests/pipeline/test_generate.py", "test_the_cost_is_that_of_the_tokens_the_service_counted"),
    ],
    "Every post, within the rules.": [
        ("tests/pipeline/test_download.py", "test_every_post_is_stored_once"),
        ("tests/cogs/test_consent.py", "test_a_blog_of_somebody_else_is_downloaded_only_once_somebody_says_so"),
    ],
    "A download loses no post and goes on where it was cut off.": [
        ("tests/pipeline/test_download.py", "test_changes_and_interruptions_lose_nothing"),
        ("tests/process/test_kills.py", "test_a_download_survives_kills"),
    ],
    "It stays within Tumblr's limits, waits where everybody can see it, and leaves calls for your approvals.": [
        ("tests/tumblr/test_quota.py", "test_it_does_what_the_rules_say"),
        ("tests/cogs/test_downloading.py", "test_a_download_parks_until_the_hour_it_was_told"),
        ("tests/cogs/test_downloading.py", "test_an_approval_goes_through_while_a_download_is_parked"),
    ],
    "What is deleted on the blog is deleted here by the next full download.": [
        ("tests/pipeline/test_download.py", "test_a_full_pass_finds_edits_deletions_and_back_dated_posts"),
        ("tests/cogs/test_downloading.py", "test_what_was_deleted_on_the_blog_is_gone_here"),
    ],
    "Nothing pings anyone.": [("tests/cogs/test_hostile.py", "test_a_blog_full_of_it")],
    "Text from blogs and models is shown without mentions, links or formatting of its own.": [
        ("tests/cogs/test_limits.py", "test_foreign_text_loses_its_teeth"),
        ("tests/cogs/test_hostile.py", "test_a_model_that_writes_it_and_an_owner_who_approves_it"),
    ],
}
"""Each sentence under "What it promises", and the tests that fail when it stops being true."""

SELF_CARE, SUPERVISOR, STARTS = (
    "tests/cogs/test_self_care.py",
    "tests/process/test_supervisor.py",
    "tests/process/test_starts.py",
)
CARE = {
    "At the start.": [(SELF_CARE, "test_the_owner_is_told_once_what_is_missing_and_the_bot_stays_up")],
    "The bot tries what `python3 -m bot check` tries, and tells you once, in its channel, what is missing, why, and how to "
    "mend it.": [
        (SELF_CARE, "test_the_owner_is_told_once_what_is_missing_and_the_bot_stays_up"),
        ("tests/test_check.py", "test_this_machine"),
        ("tests/test_check.py", "test_what_tumblr_allows_and_whether_the_clock_is_right"),
        ("tests/test_check.py", "test_the_voice_that_writes_and_the_money"),
        ("tests/test_check.py", "test_discord_is_well"),
    ],
    "It stays up and works meanwhile, and says nothing where all is well.": [
        (SELF_CARE, "test_the_owner_is_told_once_what_is_missing_and_the_bot_stays_up"),
        (SELF_CARE, "test_nothing_is_said_when_all_is_well_or_nobody_can_be_told"),
    ],
    "At later starts it speaks of it again only when something else is missing.": [
        (SELF_CARE, "test_the_owner_is_told_once_what_is_missing_and_the_bot_stays_up")
    ],
    "While something is, it looks every ten minutes, and tells you once what is well again.": [
        (SELF_CARE, "test_what_is_mended_while_the_bot_runs_is_told_once"),
        (SELF_CARE, "test_what_was_mended_while_the_bot_was_away_is_told_beside_what_is_missing_now"),
        (SELF_CARE, "test_what_could_not_be_tried_is_not_called_well"),
    ],
    "Commands.": [(SELF_CARE, "test_commands_that_the_server_has_lost_are_registered_again")],
    "Those that the server has lost are registered again.": [
        (SELF_CARE, "test_commands_that_the_server_has_lost_are_registered_again")
    ],
    "The clock.": [(SELF_CARE, "test_a_clock_that_jumps_is_told_once_and_everything_that_waits_looks_again")],
    "A clock that was set by more than five minutes is told, and what waits for a moment looks at it again.": [
        (SELF_CARE, "test_a_clock_that_jumps_is_told_once_and_everything_that_waits_looks_again")
    ],
    "Health.": [("tests/test_health.py", "test_judging")],
    "It fails when the event loop is stuck, Discord is silent, the disk is full or the database cannot be written.": [
        ("tests/test_health.py", "test_a_loop_that_is_stuck_is_not_well"),
        ("tests/test_health.py", "test_judging"),
        ("tests/test_health.py", "test_health_tries_the_disk_itself"),
        ("tests/test_health.py", "test_a_full_disk_and_a_held_database_are_not_well"),
    ],
    "A connection that is lost for less than a minute is no illness.": [
        ("tests/test_health.py", "test_judging"),
        ("tests/test_health.py", "test_a_connection_that_is_lost_counts_from_the_first_failure_until_it_is_back"),
    ],
    "Stopping.": [(SUPERVISOR, "test_sigterm_and_kill_in_the_middle_of_two_jobs")],
    "It ends within ten seconds of being asked to, with its jobs parked; the next start goes on with them.": [
        (SUPERVISOR, "test_sigterm_and_kill_in_the_middle_of_two_jobs"),
        (SUPERVISOR, "test_what_does_not_stop_is_cut_off_in_time_and_jobs_go_on"),
    ],
    "A sentence each.": [(STARTS, "test_each_place_where_it_cannot_work_has_a_sentence")],
    "A full disk stops a job with one, and the job goes on from there when it is begun again.": [
        (SELF_CARE, "test_a_full_disk_stops_a_job_with_a_sentence_and_it_goes_on_once_there_is_room"),
        ("tests/jobs/test_runner.py", "test_an_outcome_is_written_as_soon_as_the_database_takes_it"),
    ],
    "A place that cannot be written to, a database that another program holds, one of a newer version, and a second copy of "
    "the bot started by mistake end the start with one.": [
        (STARTS, "test_each_place_where_it_cannot_work_has_a_sentence"),
        (SUPERVISOR, "test_sigterm_and_kill_in_the_middle_of_two_jobs"),
    ],
    "Crashes.": [("tests/test_logs.py", "test_no_secret_in_what_a_crash_leaves_wherever_it_happens")],
    "What nobody caught goes into the log too, without any secret.": [
        ("tests/test_logs.py", "test_no_secret_in_what_a_crash_leaves_wherever_it_happens")
    ],
}
"""The same for "Looks after itself"."""


def section(title: str) -> str:
    return README.partition(f"## {title}\n")[2].partition("\n## ")[0]


def promised(text: str) -> list[str]:
    """The sentences of a part. Those of a table begin with the row's first cell; what is made from the source is not looked at."""
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    text = re.sub(r"<!-- the (\w+) begin.*?<!-- the \1 end -->", "", text, flags=re.DOTALL).replace("**", "")
    found: list[str] = []
    for block in re.split(r"\n\n|\n(?=- |[0-9]\. |\| )", text):
        words = re.sub(r"^(- |[0-9]\. )", "", " ".join(block.split()))
        if words.startswith(("| command |", "| --- |")):
            continue
        if words.startswith("| "):
            words = words.strip("| ").replace(" | ", ": ", 1)
        found += re.split(r"(?<=\.) ", words)
    return [sentence for sentence in found if sentence]


def spans() -> list[str]:
    """What stands between backticks, and each line of the code blocks."""
    blocks = [line for block in re.findall(r"```\n(.*?)```", README, re.DOTALL) for line in block.splitlines()]
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    return sorted({*re.findall(r"`([^`]+)`", prose), *blocks})


def commands(kind: str) -> list[str]:
    return [span for span in spans() if span.startswith(kind)]


# --- promises -------------------------------------------------------------------------------------------------


PARTS = {
    "Who may do what": WHO,
    "What it promises": PROMISES,
    "What it learns from": LEARNS_FROM,
    "Deciding": DECIDING,
    "Voices and drafts": VOICES,
    "Backups": BACKUPS,
    "Upgrading": UPGRADING,
    "Setting up": SETTING_UP,
    "Your data": YOUR_DATA,
    "Settings and money": SETTINGS_AND_MONEY,
    "Looks after itself": CARE,
    **promises.PARTS,
}
"""Every part of the README, with the tests of each of its sentences."""


def test_every_part_is_looked_at():
    assert sorted(re.findall(r"^## (.+)$", README, re.MULTILINE)) == sorted(title for title in PARTS if title)


@pytest.mark.parametrize(("title", "known"), PARTS.items(), ids=PARTS)
def test_every_promise_has_its_tests(title: str, known: dict[str, list[tuple[str, str]]]):
    text = section(title) if title else README.partition("<img ")[0].partition("\n")[2]
    sentences = promised(text)
    assert sorted(sentences) == sorted(known)


@pytest.mark.parametrize(
    ("file", "function"),
    sorted({test for known in PARTS.values() for tests in known.values() for test in tests}),
    ids=lambda value: value,
)
def test_the_tests_of_the_promises_exist(file: str, function: str):
    assert re.search(rf"^(async )?def {function}\(", (REPOSITORY / file).read_text("utf-8"), re.MULTILINE)


# --- names ----------------------------------------------------------------------------------------------------


async def test_the_table_lists_every_slash_command_and_no_other(tmp_path: Path):
    listed = re.findall(r"^\| `/(\w+)` \|", section("Use it"), re.MULTILINE)
    mentioned = {span.removeprefix("/").split()[0] for span in commands("/") if not span.startswith("/run/")}
    async with small_world(tmp_path, posts=1) as world:
        guild = discord.Object(GUILD_ID)
        there = [command.name for command in world.client.tree.get_commands(guild=guild)]
    assert sorted(listed) == sorted(there)
    assert mentioned <= set(there)


def test_every_command_line_is_one():
    for span in commands("python3 -m "):
        module, *arguments = span.removeprefix("python3 -m ").split()
        if module == "bot":
            arguments = [argument for argument in arguments if argument != "--help"]
            assert _parser().parse_args(arguments).command == arguments[0]
        else:
            path = REPOSITORY / module.replace(".", "/")
            assert (path / "__main__.py").is_file() or path.with_suffix(".py").is_file(), span
    assert {"python3 -m bot demo", "python3 -m bot demo --tour", "python3 -m tests"} <= set(spans())


def test_help_of_run_is_what_the_readme_says():
    done = subprocess.run(
        [sys.executable, "-m", "bot", "run", "--help"], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert "--post-limit" in done.stdout


def test_everything_between_backticks_exists():
    """A name that is none of these is a mistake of the README, or something new that needs a line here."""
    known = options()
    settings = Settings()
    data = {
        settings.database_file.name, settings.training_data_file.name, settings.custom_prompts_file.name,
        f"{settings.data_directory}/", f"{settings.data_directory}/{SECRETS_FILE}", SECRETS_FILE, bootstrap.ENVIRONMENT.name, "config.toml",
    }  # fmt: skip
    for span in spans():
        if span.startswith(("python3 -m ", "/")) and not span.startswith("/run/"):
            continue  # the tests above
        if span.startswith("--"):
            flag = span.split()[0]
            assert flag in {option.flag for option in known.values() if not option.is_secret}, span
        elif span.startswith("TUMBLRBOT_"):
            assert span in {option.variable for option in known.values()}, span
        elif span.startswith(f"{SECRETS_DIRECTORY}/"):
            secrets = {option.variable.lower() for option in known.values() if option.is_secret}
            assert span.removeprefix(f"{SECRETS_DIRECTORY}/") in secrets, span
        elif span.startswith("docker compose"):
            assert (REPOSITORY / "compose.yaml").is_file()
        elif re.fullmatch(r"[a-z]+(_[a-z]+)*", span):
            assert any(option.key == span for option in known.values()), span
        elif re.fullmatch(r"\[[a-z_.]+\]", span):
            assert any(option.section == span[1:-1] for option in known.values()), span
        else:
            assert span in data or (REPOSITORY / span).exists(), span


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", README):
        if "://" not in target:
            assert (REPOSITORY / target).exists(), target


def test_the_options_named_as_examples_are_one_and_the_same():
    post_limit, state = options()["post_limit"], options()["tumblr.upload_state"]
    assert (post_limit.flag, post_limit.variable) == ("--post-limit", "TUMBLRBOT_POST_LIMIT")
    assert state.variable == "TUMBLRBOT_TUMBLR__UPLOAD_STATE"
    assert Settings().tumblr.upload_state == "draft", "as a Tumblr draft unless it says otherwise"


async def test_a_draft_has_the_buttons_that_are_named(tmp_path: Path):
    named = re.findall(r"\*([A-Z]\w+)\*", section("Use it"))
    async with small_world(tmp_path, posts=12) as world:
        (draft,) = await written(world)
        assert buttons(draft) == list(dict.fromkeys(named))


def test_the_permissions_are_those_of_the_link(tmp_path: Path):
    named = re.search(r"five permissions: ([a-z ,]+)\.", " ".join(section("Run it for real").split()))
    assert named is not None
    asked_for = dict.fromkeys((name.replace(" ", "_") for name in named[1].split(", ")), True)
    assert discord.Permissions(**asked_for) == PERMISSIONS
    client = Client(App(Settings(data_directory=tmp_path), tmp_path / "config.toml"))
    assert not any((client.intents.members, client.intents.message_content, client.intents.presences))


def test_compose_names_two_secrets():
    compose = yaml.safe_load((REPOSITORY / "compose.yaml").read_text("utf-8"))
    assert len(compose["secrets"]) == 2


def test_the_container_asks_for_health():
    assert re.search(
        r'^HEALTHCHECK .*"tumblrbot-discord", "health"', (REPOSITORY / "Dockerfile").read_text("utf-8"), re.MULTILINE
    )


def test_the_limit_that_is_named_is_the_default():
    assert f"`monthly_limit` is {Settings().budget.monthly_limit:g}" in README
