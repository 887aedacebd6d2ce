"""The mutations: replacements within symbols of the sources, and the tests that must fail for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reliability.mutants.edits import Edit

_FLUSH: Final = "stepwell_ingestor.flush.flusher:Flusher.flush"
_STORE: Final = "stepwell_ingestor.flush.flusher:Flusher._store_rows"
_INSERT_TOKEN: Final = "stepwell_ingestor.flush.tokens:insert_token"
_BEGIN: Final = "stepwell_ingestor.partitions:AssignedPartitions._begin"
_CONTINUE: Final = "stepwell_ingestor.positions.decide:_continue"
_KEEP_APART: Final = "stepwell_ingestor.planner.shared_writers:keep_apart"
_RENAME: Final = "stepwell_ingestor.planner.shared_writers:_rename"
_OBSERVE: Final = "stepwell_ingestor.positions.observe:observe"
_COMMIT: Final = "stepwell_ingestor.kafka.client:AiokafkaClients.commit"
_COMMIT_PLAN: Final = "        await commit_plan(again=found)\n"
_INSERT_ALL: Final = """        looks = self._store.looks
        store = partial(self._store_rows, plan, plan_without, inserts)
        plan = await self._restore(await store(found), store, inserts, looks)
        self._report(plan)
        holds_rows = position.holds_rows or bool(plan.tables)
        reached = position.advance(pending.end, boundary_after(messages[-1]), holds_rows=holds_rows, missing=missing)
        looks = self._store.looks
        await self._store.insert_confirmed(POSITIONS, position_row(reached))
        plan = await self._restore(plan, store, inserts, looks)
        self._store.begin(reached)
        if missing:
            report_missing(self._partition, pending.start, missing, reached)
"""
_LETTERS: Final = (
    "        letters = [letter._replace(message=shift(letter.message, -position.base)) for letter in plan.dead]\n"
)
_ROLL: Final = """            if table == _REACHED:
                await self._store_rollups(plan)
"""
_INSERT: Final = """            try:
                await insert_once(self._store, table, plan.tables[table], inserts, doubtful=planned)
            except StoreRejectedError as error:
                if not is_divisible(table, error):
                    raise
                insert = partial(self._store.call, self._store.client.insert, table)
                left_out.add(await insert_divided(insert, table, plan.tables[table], error))
                # The tables that are stored have the same rows in the new plan, so no row has to be taken back.
                plan = await asyncio.to_thread(plan_without, left_out)
"""
_DELIVER: Final = "        await self._letters.deliver(self._partition, letters, self._store.given_up)\n"
_COMMIT_END: Final = '        await commit(self._kafka, self._partition, pending.end, "")\n'
_PUT: Final = "        self._states.put(plan.states)\n"
_TOKEN: Final = 'return f"{partition.topic}:{partition.partition}:{flush.first}:{flush.end}:{flush.records}:{table}"'
_INDENT: Final = 16 * " "
_SIGNED: Final = "if self._given.get(partition) != self._present_membership():"

CLIENTS: Final = ("tests/integration/ingestor/test_kafka_clients.py",)
FENCE: Final = ("tests/integration/ingestor/test_overtaken_commits.py",)
CUTTING: Final = ("tests/unit/producer/delivery/test_cutting.py",)
EVENT_PRODUCER: Final = ("tests/unit/schemas/kafka/test_producer.py",)
ROUTES: Final = ("tests/unit/producer/delivery/test_routes.py",)
RECONNECT: Final = ("tests/unit/producer/delivery/test_reconnect.py",)
SIGTERM: Final = ("tests/integration/sdk/test_sigterm.py",)
DISK: Final = ("tests/unit/producer/journal/test_full_disk.py",)
WRITERS: Final = ("tests/unit/schemas/rules/test_writers.py",)
WRITER_ROWS: Final = ("tests/unit/query/rows/test_writer_rows.py",)
LAUNCH: Final = ("tests/unit/producer/session/test_launch.py",)
CLAIMS: Final = ("tests/unit/producer/session/test_node_claims.py",)
RANKS: Final = ("tests/unit/producer/session/test_rank_sessions.py",)
LIVENESS: Final = ("tests/unit/producer/journal/test_liveness.py",)
SEGMENTS: Final = ("tests/unit/producer/journal/test_segments.py",)
PUBLISHER: Final = ("tests/unit/producer/delivery/test_publisher.py",)
DECISIONS: Final = ("tests/unit/ingestor/positions/test_decide.py",)
GAPS: Final = ("tests/unit/ingestor/positions/test_gaps.py",)
CUTS: Final = ("tests/unit/ingestor/positions/test_cuts.py",)
PARTITIONS: Final = ("tests/unit/ingestor/test_partitions.py",)
LOG_PROBE: Final = ("tests/unit/ingestor/kafka/test_log_probe.py",)
MOVING: Final = ("tests/unit/deploy/moving/test_order.py",)
LETTERS: Final = ("tests/unit/deploy/deadletters/test_letters.py",)
UNFINISHED_SWITCH: Final = ("tests/unit/ingestor/rebuild/test_unfinished_switch.py",)
JOURNAL_ACCOUNTS: Final = ("tests/unit/deploy/verify/test_journal_accounts.py",)
FLUSHING: Final = ("tests/unit/ingestor/flush/test_flushing.py",)
ROLLUPS: Final = ("tests/unit/ingestor/planner/test_rolling.py",)
MEMORY: Final = ("tests/unit/ingestor/flush/test_memory.py",)
REFUSALS: Final = ("tests/unit/ingestor/flush/test_refusals.py",)
DELETIONS: Final = ("tests/unit/ingestor/planner/test_deletions.py",)
ROLLUP_ROWS: Final = ("tests/integration/ingestor/test_rollups.py",)
ROW_DELETION: Final = ("tests/integration/ingestor/test_run_deletion.py",)
MEDIA_REMOVAL: Final = ("tests/integration/ingestor/test_media_removal.py",)
ORDER: Final = ("tests/unit/producer/delivery/test_order.py",)
ORPHANS: Final = ("tests/unit/producer/delivery/test_orphans.py",)
OTHER_RUNS: Final = ("tests/unit/producer/delivery/test_other_runs.py",)
SHARED_WRITERS: Final = ("tests/unit/ingestor/planner/test_shared_writers.py",)
EARLY: Final = ("tests/unit/ingestor/planner/test_early_sessions.py",)
CONTENT: Final = ("tests/unit/ingestor/planner/test_content.py",)
ARRIVALS: Final = ("tests/unit/ingestor/planner/test_arrivals.py",)
LATE: Final = ("tests/unit/ingestor/planner/test_late_rows.py",)
TALLY: Final = ("tests/unit/ingestor/verify/test_tally.py",)
REPEATED: Final = ("tests/integration/ingestor/test_repeated_flushes.py",)
SEEDED: Final = ("tests/unit/ingestor/verify/test_seeded_replay.py",)
STORED_CONTENT: Final = ("tests/unit/producer/delivery/test_stored_content.py",)
INSERTS: Final = ("tests/integration/clickhouse/test_insert_settings.py",)
TOKENS: Final = ("tests/unit/ingestor/flush/test_tokens.py",)
POSITIONS: Final = ("tests/unit/ingestor/positions/test_decide.py",)
ENVIRONMENT: Final = ("tests/unit/ingestor/positions/test_environment.py",)
REPLACED: Final = ("tests/integration/ingestor/test_log_positions.py",)
STEP_RULE: Final = ("tests/unit/schemas/rules/test_steps.py",)
ROW_WRITER: Final = ("tests/unit/producer/recording/test_row_writer_steps.py",)
SESSION_STEPS: Final = ("tests/unit/ingestor/planner/test_session_steps.py",)
BATCH_STEPS: Final = ("tests/unit/producer/delivery/test_batch_steps.py",)
SESSION_ORDER: Final = ("tests/unit/producer/session/test_session_order.py",)


@dataclass(frozen=True)
class Mutation:
    """A change that breaks exactly-once ingestion.

    `tests` are the pytest files that must fail; if there are none, the simulation must fail.
    """

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...] = ()


TOPICS: Final = ("tests/unit/schemas/test_topics.py",)
REBUILD: Final = ("tests/unit/ingestor/rebuild/test_ranges.py", "tests/unit/deploy/rebuild/test_report.py")

MUTATIONS: Final = (
    Mutation("the plan is not committed", (Edit(_FLUSH, _COMMIT_PLAN, ""),)),
    Mutation(
        "a plan that is found is not committed again",
        (Edit(_FLUSH, _COMMIT_PLAN, f"        if not found:\n    {_COMMIT_PLAN}"),),
        FLUSHING,
    ),
    Mutation(
        "the plan is ignored at the start",
        (
            Edit(
                _BEGIN,
                "PartitionBuffer(decision.start, decision.plan)",
                "PartitionBuffer(decision.start, None)",
            ),
        ),
    ),
    Mutation("a token names only the table", (Edit(_INSERT_TOKEN, _TOKEN, "return table"),)),
    Mutation("a token is random", (Edit(_INSERT_TOKEN, _TOKEN, "return str(hash(object()))"),)),
    Mutation("a token leaves out the end", (Edit(_INSERT_TOKEN, _TOKEN, _TOKEN.replace("{flush.end}:", "")),), TOKENS),
    Mutation(
        "records that were there before are not skipped",
        (
            Edit(
                "stepwell_ingestor.planner.arrivals:_tail",
                "first = max(sequence, following)",
                "first = sequence",
            ),
        ),
    ),
    Mutation(
        "a session's sequence does not move on",
        (
            Edit(
                "stepwell_ingestor.planner.plan:_arrive",
                "state.sessions[session] = arrival.following",
                "state.sessions[session] = state.sessions.get(session, 0)",
            ),
        ),
    ),
    Mutation(
        "states are restored as of now",
        (
            Edit(
                "stepwell_ingestor.flush.state_loader:_load_numbers",
                'row["number"] if holds else row["previous_number"]',
                'row["number"]',
            ),
        ),
    ),
    Mutation(
        "totals are restored as of now",
        (
            Edit(
                "stepwell_ingestor.planner.totals:as_of",
                '"" if holds(totals["end"]) else _BEFORE',
                '""',
            ),
        ),
    ),
    Mutation(
        "a flush stores its own points as totals",
        (
            Edit(
                "stepwell_ingestor.planner.series_stats:series_stats",
                'before["points"] + merged(np.add, series.rows[parts].astype(np.uint64))',
                "merged(np.add, series.rows[parts].astype(np.uint64))",
            ),
        ),
    ),
    Mutation(
        "inserts take the server's defaults",
        (
            Edit(
                "stepwell_schemas.clickhouse.store:Store.insert",
                "known_settings(client, INSERT_SETTINGS) | named",
                "named",
            ),
        ),
        INSERTS,
    ),
    Mutation(
        "the end is committed before the inserts",
        (
            Edit(
                _FLUSH,
                _INSERT_ALL + _LETTERS + _DELIVER + _COMMIT_END,
                _COMMIT_END + _INSERT_ALL + _LETTERS + _DELIVER,
            ),
        ),
    ),
    Mutation(
        "a series shows its extent before its rollups are stored", (Edit(_STORE, _ROLL + _INSERT, _INSERT + _ROLL),)
    ),
    Mutation(
        "rollups come before their points",
        (Edit(_STORE, "if table == _REACHED:", "if table == next(iter(plan.tables)):"),),
    ),
    Mutation(
        "the bucket of the last step before stays without a row",
        (
            Edit(
                "stepwell_ingestor.planner.rollups.plan:_choose_touched",
                "if of_prior < end and of_prior not in buckets:",
                "if of_prior < 0:",
            ),
        ),
        ROLLUPS,
    ),
    Mutation(
        "rollups computed from a flush are not stored",
        (
            Edit(
                "stepwell_ingestor.flush.flusher:Flusher._store_rollups",
                "await self._store.call(self._store.client.insert, TABLE, plan.rollups)",
                "pass",
            ),
        ),
    ),
    Mutation(
        "late rows leave closed buckets as they are",
        (
            Edit(
                "stepwell_ingestor.planner.rollups.plan:_choose_touched",
                "rollup_plan.choose(level, number, shut.tolist())",
                "pass",
            ),
        ),
    ),
    Mutation(
        "open buckets count as known after late rows",
        (Edit("stepwell_ingestor.planner.rollups.open_buckets:OpenBuckets.forget", "= 0", "= self._known[numbers]"),),
    ),
    Mutation(
        "the end is committed before the dead letters are sent",
        (Edit(_FLUSH, _DELIVER + _COMMIT_END, _COMMIT_END + _DELIVER),),
    ),
    Mutation(
        "dead letters are not waited for",
        (
            Edit(
                "stepwell_ingestor.flush.deadletter_delivery:LetterDelivery._send",
                "            await (await self._kafka.send(self._topic, value, key, headers))\n",
                "            await self._kafka.send(self._topic, value, key, headers)\n",
            ),
        ),
    ),
    Mutation(
        "states are kept although the flush failed",
        (
            Edit(_FLUSH, _COMMIT_END + _PUT, _COMMIT_END),
            Edit(_FLUSH, _COMMIT_PLAN, _PUT + _COMMIT_PLAN),
            Edit(
                "stepwell_ingestor.partitions:AssignedPartitions.restart_partition",
                "flusher = self._make_flusher(partition)",
                "flusher = owned.flusher",
            ),
        ),
    ),
    Mutation(
        "what was before a flush is not remembered",
        (
            Edit(
                "stepwell_ingestor.planner.state_rows:state_rows",
                "(*path, scope, name, end, number, old)",
                "(*path, scope, name, end, number, ABSENT)",
            ),
        ),
    ),
    Mutation(
        "an event of a run that moved to another partition is stored",
        (
            Edit(
                "stepwell_ingestor.flush.log_checks:refuse_moved_runs",
                "if present.partitions > log.partitions:",
                "if present.partitions < log.partitions:",
            ),
        ),
        FLUSHING,
    ),
    Mutation(
        "a topic with added partitions is read",
        (
            Edit(
                "stepwell_ingestor.positions.decide:decide",
                "        _refuse_added_partitions(evidence, known)\n",
                "        pass\n",
            ),
        ),
        DECISIONS,
    ),
    Mutation(
        "states of a flush whose records retention removed hold",
        (
            Edit(
                "stepwell_ingestor.positions.decide:_after_retention",
                "Reason.PLAN_EXPIRED, start, own.void(plan.end))",
                "Reason.PLAN_EXPIRED, start, own.voided)",
            ),
        ),
        DECISIONS,
    ),
    Mutation(
        "states of a flush whose plan went with the group's offset hold",
        (
            Edit(
                "stepwell_ingestor.positions.decide:_without_lost_flush",
                "    voided = own.void(evidence.reached_here - own.base)\n",
                "    voided = own.voided\n",
            ),
        ),
        DECISIONS,
    ),
    Mutation(
        "an offset that was set by hand to the stored end is taken for an ingestor's",
        (
            Edit(
                "stepwell_ingestor.positions.decide:may_have_lost_a_plan",
                "evidence.committed != own.end or evidence.by_hand",
                "evidence.committed != own.end",
            ),
        ),
        DECISIONS,
    ),
    Mutation(
        "the document of a run holds before the flush that created it",
        (
            Edit(
                "stepwell_ingestor.flush.state_loader:_load",
                "if id(state) not in without_document and ",
                "if ",
            ),
        ),
        REPEATED,
    ),
    Mutation(
        "a flush that was planned before partitions were added is not completed",
        (
            Edit(
                "stepwell_ingestor.positions.decide:decide",
                "    if decision.plan is None:\n        _refuse_added_partitions",
                "    if True:\n        _refuse_added_partitions",
            ),
        ),
        DECISIONS,
    ),
    Mutation(
        "what retention removed from under a running consumer is not counted",
        (
            Edit(
                "stepwell_ingestor.flush.flusher:Flusher.flush",
                "missing = await count_removed_records(self._kafka, self._partition, pending)",
                "missing = 0",
            ),
        ),
        FLUSHING,
    ),
    Mutation(
        "retention that overtakes an idle partition is not noticed",
        (Edit("stepwell_ingestor.log_watch:is_overtaken", "extent.begin > position.end", "False"),),
        GAPS,
    ),
    Mutation(
        "a log that was cut and has grown again under a consumer is read on",
        (Edit("stepwell_ingestor.positions.cuts:has_later_leader", "messages[0].leader_epoch > known", "False"),),
        CUTS,
    ),
    Mutation(
        "a change of the leader does not begin the partition again",
        (
            Edit(
                "stepwell_ingestor.partitions:AssignedPartitions.add",
                "if has_later_leader(owned.leader_epoch, messages):",
                "if False:",
            ),
        ),
        PARTITIONS,
    ),
    Mutation(
        "a partition begins again with each record of a later leader",
        (
            Edit(
                "stepwell_ingestor.partitions:AssignedPartitions.restart_partition",
                "leader_epoch=owned.leader_epoch,",
                "",
            ),
        ),
        PARTITIONS,
    ),
    Mutation(
        "the leader that appended the last stored record is not known",
        (Edit(_BEGIN, "owned.leader_epoch = max(known, evidence.leader_epoch)", "owned.leader_epoch = known"),),
        PARTITIONS,
    ),
    Mutation(
        "leaders of a topic that was created again are compared with earlier ones",
        (Edit(_BEGIN, "known = NO_LEADER_EPOCH if decision.reason is Reason.LOG_REPLACED else", "known ="),),
        PARTITIONS,
    ),
    Mutation(
        "a record is taken for the stored one by its offset",
        (
            Edit(
                "stepwell_ingestor.positions.cuts:is_cut",
                "boundary_after(record) != boundary",
                "record.offset != boundary.end - 1",
            ),
        ),
        CUTS,
    ),
    Mutation(
        "a log that ends before what is stored is not noticed",
        (Edit("stepwell_ingestor.positions.cuts:is_cut", "if extent.end < position.end:", "if False:"),),
        CUTS,
    ),
    Mutation(
        "a log that was cut after all that is stored is not noticed",
        (Edit("stepwell_ingestor.log_watch:LogWatch._look", " or partition in cut:", ":"),),
        PARTITIONS,
    ),
    Mutation(
        "a look at the log ends what began during it",
        (
            Edit(
                "stepwell_ingestor.log_watch:LogWatch._look",
                "if self._owned.partitions.get(partition) is not owned:",
                "if (owned := self._owned.partitions.get(partition)) is None:",
            ),
        ),
        PARTITIONS,
    ),
    Mutation(
        "two callers read single records of a log concurrently",
        (Edit("stepwell_ingestor.kafka.log_probe:LogProbe.records", "async with self._reading:", "if True:"),),
        LOG_PROBE,
    ),
    Mutation(
        "a session's earlier record in another partition is not copied first",
        (Edit("stepwell_deploy.moving.order:merge_order", "before = _predecessors(partitions)", "before = {}"),),
        MOVING,
    ),
    Mutation(
        "a copy does not notice that producers still write",
        (
            Edit(
                "stepwell_deploy.moving.move:require_no_writers",
                "if any(extent.end > before[number].end for number, extent in after.items()):",
                "if not after:",
            ),
        ),
        MOVING,
    ),
    Mutation(
        "redriven events of a topic that was created again are taken for those before",
        (
            Edit(
                "stepwell_deploy.deadletters.models:Letter.event_id",
                'return f"{self.origin}/{checksum}"',
                "return str(self.origin)",
            ),
        ),
        LETTERS,
    ),
    Mutation(
        "an ingestor begins in the middle of a switch to rebuilt tables",
        (
            Edit(
                "stepwell_ingestor.rebuild.unfinished_switch:is_unfinished",
                "return SWITCHING in names and SWITCHED not in names",
                "return False",
            ),
        ),
        UNFINISHED_SWITCH,
    ),
    Mutation(
        "records that were set aside are expected in the log",
        (
            Edit(
                "stepwell_deploy.verify.journals:check_journal",
                "_delivered(first, session.following, account.set_aside)",
                "_delivered(first, session.following, frozenset())",
            ),
        ),
        JOURNAL_ACCOUNTS,
    ),
    Mutation(
        "a signal handler's row is counted before the one that it interrupted",
        (
            Edit(
                "stepwell.recording.row_writer:RowWriter.log",
                "            if journal.intent is not None:\n                self._apply(journal.intent)\n",
                "",
            ),
        ),
        ROW_WRITER,
    ),
    Mutation(
        "a partition starts again without a seek",
        (Edit(_BEGIN, "self._kafka.seek(partition, decision.start)", "pass"),),
    ),
    Mutation(
        "values that ClickHouse refuses take their key's spelling with them",
        (
            Edit(
                "stepwell_ingestor.planner.log_batches:_take_block",
                "stored = _stored_keys(flush, item, block, unusable)",
                "stored = StoredKeys([], [], 0)\n    if not flush.left_out.values:\n"
                "        stored = _stored_keys(flush, item, block, unusable)",
            ),
        ),
        REFUSALS,
    ),
    Mutation(
        "a layer writes through to the layer below",
        (
            Edit(
                "stepwell_ingestor.planner.layers:Layer.__setitem__",
                "self.changed[key] = value",
                "self.base[key] = value",
            ),
        ),
        MEMORY,
    ),
    Mutation(
        "versions don't grow with the offset",
        (
            Edit(
                "stepwell_ingestor.planner.log_batches:take_batch",
                "np.arange(first_version, first_version + batch.rows, dtype=np.uint64)",
                "np.arange(batch.rows, dtype=np.uint64)",
            ),
        ),
    ),
    Mutation(
        "rows that a restored copy lacks are not stored again",
        (
            Edit(
                "stepwell_ingestor.flush.flusher:Flusher._restore", "while self._store.looks != looks:", "while False:"
            ),
        ),
        FLUSHING,
    ),
    Mutation(
        "a copy that was restored while the position was stored is not noticed",
        (
            Edit(
                _FLUSH,
                "        plan = await self._restore(plan, store, inserts, looks)\n",
                "",
            ),
        ),
        FLUSHING,
    ),
    Mutation(
        "a doubtful insert is not looked for",
        (
            Edit(
                "stepwell_ingestor.flush.doubtful_inserts:insert_once",
                "        if not doubtful:\n            return\n",
                "        return\n",
            ),
        ),
    ),
    Mutation(
        "an ingestor that has lost its partition inserts rows again that the next owner has deleted",
        (Edit("stepwell_ingestor.flush.flusher:Flusher._restore", "await inserts.prove_ownership()", "pass"),),
        FLUSHING,
    ),
    Mutation(
        "an ingestor that has lost its partition inserts deleted rows under another token",
        (
            Edit(
                "stepwell_ingestor.flush.doubtful_inserts:insert_once", "        await inserts.prove_ownership()\n", ""
            ),
        ),
        FLUSHING,
    ),
    Mutation(
        "an ingestor that was overtaken continues its flush",
        (
            Edit(
                "stepwell_ingestor.flush.partition_store:PartitionStore._confirm",
                "if version > self.reaches:",
                "if False:",
            ),
        ),
        FLUSHING,
    ),
    Mutation(
        "a drain continues after a rebalance",
        (
            Edit(
                "stepwell_ingestor.service:Ingestor._may_drain",
                "still_owned = self._owned.partitions.get(partition) is owned",
                "still_owned = True",
            ),
            Edit(
                "stepwell_ingestor.service:Ingestor._flush_everything",
                f"{_INDENT}owned.task = asyncio.create_task(self._flush(owned))\n{_INDENT}await owned.task\n",
                f"{_INDENT}await self._flush(owned)\n",
            ),
            # The second guard, in the simulated clients: a commit for another member's partition is refused.
            Edit(
                "reliability.simulation.client:SimulatedKafka._coordinate",
                "self._given = dict.fromkeys(self._assigned, self._present)",
                "self._given = dict.fromkeys(self._broker.logs, self._present)",
            ),
        ),
    ),
    Mutation(
        "a plan is repeated for other records",
        (
            Edit(
                "stepwell_ingestor.flush.tokens:make_plan",
                "if found.checksum not in {None, checksum}:",
                "if False:",
            ),
        ),
        (*TOKENS, *FLUSHING),
    ),
    Mutation(
        "an epoch begins at the offsets of the one before",
        (
            Edit(
                "stepwell_ingestor.positions.decide:_begin_epoch",
                "base=max(begin - start, 0)",
                "base=0 if own is None else own.base",
            ),
        ),
        ENVIRONMENT,
    ),
    Mutation(
        "an epoch is only above its own partition",
        (
            Edit(
                "stepwell_ingestor.positions.decide:_begin_epoch",
                "*(one.logical_end for one in known), ",
                "*(one.logical_end for one in known if one is own), ",
            ),
        ),
        POSITIONS,
    ),
    Mutation(
        "a log that was cut is read from its present end",
        (
            Edit(
                "stepwell_ingestor.positions.decide:_last_match",
                "    ceiling = min(ceiling, evidence.extent.end)\n",
                "    return min(ceiling, evidence.extent.end)\n",
            ),
        ),
        ENVIRONMENT,
    ),
    Mutation(
        "other records at the stored offsets are not noticed",
        (Edit(_CONTINUE, "_differs(evidence, own) or ", ""),),
        ENVIRONMENT,
    ),
    Mutation(
        "reading continues where the group is",
        (Edit(_CONTINUE, "Decision(own, stored, reason,", "Decision(own, evidence.committed or 0, reason,"),),
        ENVIRONMENT,
    ),
    Mutation(
        "restored tables are filled under tokens that ClickHouse knows",
        (
            Edit(
                _CONTINUE, "own = replace(own, epoch=own.epoch + 1, reason=reason)", "own = replace(own, reason=reason)"
            ),
        ),
        POSITIONS,
    ),
    Mutation(
        "empty tables are continued where the group is",
        (
            Edit(
                "stepwell_ingestor.positions.decide:_begin",
                "earlier = evidence.adopts and evidence.holds_runs and",
                "earlier =",
            ),
        ),
        POSITIONS,
    ),
    Mutation(
        "added partitions are read",
        (
            Edit(
                "stepwell_ingestor.positions.decide:_refuse_added_partitions",
                "if counts and max(counts) < evidence.log.partitions:",
                "if False:",
            ),
        ),
        POSITIONS,
    ),
    Mutation(
        "states of an abandoned flush hold",
        (
            Edit(
                "stepwell_ingestor.positions.models:AsOf.includes",
                "if any(void.offset_from < written_at <= void.offset_to for void in self.voided):",
                "if False:",
            ),
        ),
        POSITIONS,
    ),
    Mutation(
        "positions are not stored",
        (
            Edit(
                "stepwell_ingestor.flush.partition_store:PartitionStore.store_position",
                "        await self.call(self.client.insert, POSITIONS, position_row(position))\n",
                "",
            ),
        ),
        FLUSHING,
    ),
    Mutation(
        "a log that begins again is taken for the same",
        (Edit("stepwell_ingestor.log_watch:is_replaced", "return not same_topic or", "return"),),
        REPLACED,
    ),
    Mutation(
        "a commit in doubt is followed by others of the same member",
        (Edit("stepwell_ingestor.kafka.fenced_commit:commit", "        await kafka.rejoin(partition)\n", ""),),
    ),
    Mutation(
        "a commit in doubt counts as done",
        (
            Edit(
                "stepwell_ingestor.kafka.fenced_commit:commit",
                "if not again and await _is_done(",
                "if True or await _is_done(",
            ),
        ),
    ),
    Mutation(
        "a lost connection leaves no doubt",
        (
            Edit(
                "stepwell_ingestor.kafka.client:_UNANSWERED",
                "(RequestTimedOutError, KafkaConnectionError, CorrelationIdError)",
                "()",
            ),
        ),
        FENCE,
    ),
    Mutation(
        "the group is not left",
        (
            Edit(
                "stepwell_ingestor.kafka.client:AiokafkaClients.rejoin",
                "            await coordinator._maybe_leave_group()\n",
                "            return\n",
            ),
        ),
        FENCE,
    ),
    Mutation(
        "a member that was thrown out commits",
        (Edit(_COMMIT, _SIGNED, "if partition not in self._given:"),),
        CLIENTS,
    ),
    Mutation(
        "a member commits for another's partition",
        (Edit(_COMMIT, _SIGNED, "if self._present_membership()[1] == '':"),),
        CLIENTS,
    ),
    Mutation(
        "a flush continues in tables that were emptied during it",
        (
            Edit(
                "stepwell_ingestor.flush.partition_store:PartitionStore.insert_confirmed",
                "            await self._confirm()\n",
                "",
            ),
        ),
        FLUSHING,
    ),
    Mutation(
        "states of a flush of a replaced log hold",
        (
            Edit(
                "stepwell_ingestor.positions.decide:_begin_epoch",
                "voided = (*voided, VoidRange(own.logical_end, begin))[-VOIDED:]",
                "pass",
            ),
        ),
        DECISIONS,
    ),
    Mutation(
        "tables that are behind the group are not filled again",
        (
            Edit(
                "stepwell_ingestor.positions.decide:_continue",
                "return Decision(own, stored, reason,",
                "return Decision(own, evidence.committed or stored, reason,",
            ),
        ),
    ),
    Mutation(
        "a log that was replaced is continued at the stored offset",
        (
            Edit(
                "stepwell_ingestor.positions.decide:decide",
                "elif not own.is_of(evidence.log) or _is_another_log(own, evidence):",
                "elif _is_another_log(own, evidence):",
            ),
        ),
    ),
    Mutation(
        "a process skips to the next journal of a writer",
        (
            Edit(
                "stepwell.delivery.order:find_sendable",
                "heads.setdefault((entry.run, entry.info.writer), entry)",
                "heads.setdefault((entry.run, entry.info.session), entry)",
            ),
        ),
    ),
    Mutation(
        "journals are sent by the time of their start",
        (
            Edit(
                "stepwell.delivery.order:sort_key",
                "return info.generation, info.started, info.session",
                "return 0, info.started, info.session",
            ),
        ),
    ),
    Mutation(
        "a sender does not wait for older journals of its writer",
        (
            Edit(
                "stepwell.delivery.sender:Sender._deliver",
                "await self._orphans.deliver(transport, wait=True)",
                "await self._orphans.deliver(transport)",
            ),
        ),
    ),
    Mutation(
        "the SDK acknowledges before the broker's answer",
        (
            Edit(
                "stepwell.delivery.publisher:Publisher._settle_one",
                "                await self._transport.wait(future)\n",
                "                self._settle(event)\n                await self._transport.wait(future)\n",
            ),
        ),
        PUBLISHER,
    ),
    Mutation(
        "the SDK numbers what it sends again from 0",
        (Edit("stepwell.delivery.publisher:Publisher.send", "self._info, before.sequence,", "self._info, 0,"),),
        PUBLISHER,
    ),
    Mutation(
        "the SDK waits forever for an acknowledgement",
        (
            Edit(
                "stepwell_schemas.kafka.producer:EventProducer._bounded",
                "asyncio.timeout(self._ack_seconds)",
                "asyncio.timeout(60.0 + self._ack_seconds)",
            ),
        ),
        EVENT_PRODUCER,
    ),
    Mutation(
        "the SDK tries only the brokers that it knows",
        (
            Edit(
                "stepwell.delivery.routes:routes_to_try",
                "tried = list(answered)",
                "tried = [] if known else list(answered)",
            ),
        ),
        ROUTES,
    ),
    Mutation(
        "a slow link never gets more time",
        (Edit("stepwell.delivery.reconnect:next_stalls", "min(stalls + 1, _MAX_STALL_DOUBLINGS)", "stalls"),),
        RECONNECT,
    ),
    Mutation(
        "another cluster is not noticed",
        (Edit("stepwell.delivery.reconnect:is_other_cluster", "known != present", "known == present"),),
        RECONNECT,
    ),
    Mutation(
        "a publisher waits for what another one's refusal has dropped",
        (
            Edit(
                "stepwell.delivery.publisher:Publisher._settle_one",
                "if future is not None and generation != self._transport.generation:",
                "if False:",
            ),
        ),
        PUBLISHER,
    ),
    Mutation(
        "what was on its way with a refused event is forgotten",
        (
            Edit(
                "stepwell.delivery.publisher:Publisher._send_one_by_one",
                "deque(sent.event for sent in self._waiting)",
                "deque([self._waiting[0].event])",
            ),
        ),
        PUBLISHER,
    ),
    Mutation(
        "a conflict joins the row that has begun",
        (Edit("stepwell_schemas.rules.steps:advance", "state.current + (conflict and state.begun)", "state.current"),),
        STEP_RULE,
    ),
    Mutation(
        "a conflict in log() joins the row that has begun",
        (
            Edit(
                "stepwell.recording.step_counter:StepCounter._advance",
                "            step += self._begun == step\n",
                "            pass\n",
            ),
        ),
        ROW_WRITER,
    ),
    Mutation(
        "each part of a large row requests its step",
        (Edit("stepwell.recording.row_writer:RowWriter._log_as_json", "                    asked = NO_STEP\n", ""),),
        ROW_WRITER,
    ),
    Mutation(
        "the ingestor counts steps that a session has counted",
        (
            Edit(
                "stepwell_ingestor.planner.session_steps:_resolve_part",
                "if batch.current_step is not None and (line == FINAL or (line == REQUESTED and not part.late)):",
                "if False:",
            ),
        ),
        SESSION_STEPS,
    ),
    Mutation(
        "rows that were stored before don't advance their session",
        (
            Edit(
                "stepwell_ingestor.planner.session_steps:_by_session",
                "        before = resolve(before, *calls.between(0, first)).state\n",
                "        pass\n",
            ),
        ),
        SESSION_STEPS,
    ),
    Mutation(
        "every line's steps are final",
        (
            Edit(
                "stepwell_ingestor.planner.session_steps:begin_session",
                "FINAL if reached <= event.lineage_step else COUNTED",
                "FINAL",
            ),
        ),
        SESSION_STEPS,
    ),
    Mutation(
        "late rows are taken for repetitions",
        (
            Edit(
                "stepwell_ingestor.planner.arrivals:arrive",
                "parts = (*late, *_tail(sequence, end, following))",
                "parts = _tail(sequence, end, following)",
            ),
        ),
        LATE,
    ),
    Mutation(
        "late rows are stored each time they arrive",
        (
            Edit(
                "stepwell_ingestor.planner.arrivals:arrive",
                "_bounded(tuple(_without(gaps, sequence, end))) if late else (gaps, NO_GAPS)",
                "(gaps, NO_GAPS)",
            ),
        ),
        LATE,
    ),
    Mutation(
        "late rows stay missing",
        (
            Edit(
                "stepwell_ingestor.planner.arrivals:arrive",
                "records - stored, -filled, forgotten)",
                "records - stored, 0, forgotten)",
            ),
        ),
        LATE,
    ),
    Mutation(
        "late rows: the memory of gaps has no bound",
        (Edit("stepwell_ingestor.planner.arrivals:_bounded", "if over <= 0:", "if True:"),),
        ARRIVALS,
    ),
    Mutation(
        "late rows: the largest gap is forgotten",
        (
            Edit(
                "stepwell_ingestor.planner.arrivals:_bounded", "(gap[1] - gap[0], gap[0])", "(gap[0] - gap[1], gap[0])"
            ),
        ),
        ARRIVALS,
    ),
    Mutation(
        "late rows: gaps are not stored",
        (
            Edit(
                "stepwell_ingestor.planner.state_rows:_changes_by_scope",
                "if is_changed(state.gaps):",
                "if False:",
            ),
        ),
        LATE,
    ),
    Mutation(
        "late rows: gaps that were filled are restored",
        (
            Edit(
                "stepwell_ingestor.planner.state_rows:_gap_changes",
                "sorted(after.keys() | before.keys())",
                "sorted(after)",
            ),
        ),
        LATE,
    ),
    Mutation(
        "late rows: a chunk of a media file that fills a gap is not stored",
        (
            Edit(
                "stepwell_ingestor.planner.plan:is_repeated",
                "state.gaps.get(session, NO_GAPS)",
                "NO_GAPS",
            ),
        ),
        LATE,
    ),
    Mutation(
        "late rows: a start decides the steps of its session after its rows",
        (Edit("stepwell_ingestor.planner.run_events:take_document", "        if late:\n", "        if False:\n"),),
        LATE,
    ),
    Mutation(
        "late rows: rows that the ingestor counts join the row of later calls",
        (
            Edit(
                "stepwell_ingestor.planner.session_steps:_by_writer",
                "if late and before.begun and calls.rows:",
                "if False:",
            ),
        ),
        LATE,
    ),
    Mutation(
        "late rows from before the first requested step take the steps of other sessions",
        (
            Edit(
                "stepwell_ingestor.planner.session_steps:_resolve_part",
                "(line == REQUESTED and not part.late)",
                "line == REQUESTED",
            ),
        ),
        LATE,
    ),
    Mutation(
        "late rows of a session that resumes its run replace those at the steps that they request",
        (
            Edit(
                "stepwell_ingestor.planner.session_steps:_resolve_part",
                "(redriven or line != RESUMED)",
                "True",
            ),
        ),
        LATE,
    ),
    Mutation(
        "late rows are missing in the tally of the log",
        (
            Edit(
                "stepwell_ingestor.verify.session_digest:SessionTally.add",
                "arrive(self.following, self.gaps, event.sequence, records)",
                "arrive(self.following, NO_GAPS, event.sequence, records)",
            ),
        ),
        TALLY,
    ),
    Mutation(
        "late rows: records from before the log are a gap of a replay that begins in its middle",
        (
            Edit(
                "stepwell_ingestor.verify.replay:seed_state",
                "            state.sessions.setdefault(event.session, event.sequence)\n",
                "            pass\n",
            ),
        ),
        SEEDED,
    ),
    Mutation(
        "a late session turns its writer back",
        (
            Edit(
                "stepwell_ingestor.planner.run_state:RunState.wrote",
                "if after.current >= self.writers.get(name, 0):",
                "if True:",
            ),
        ),
        SESSION_STEPS,
    ),
    Mutation(
        "a reader forgets the steps that it skips",
        (
            Edit(
                "stepwell.journal.reader:Reader.skip_to",
                "                self._count(item)\n",
                "                pass\n",
            ),
        ),
        BATCH_STEPS,
    ),
    Mutation(
        "side streams state a current step",
        (
            Edit(
                "stepwell.delivery.publisher:Publisher.__init__",
                "reader.steps if info.lineage else None",
                "reader.steps",
            ),
        ),
        PUBLISHER,
    ),
    Mutation(
        "a record that is too large is not kept",
        (Edit("stepwell.delivery.publisher:Publisher._settle", "if event.error:", "if False:"),),
        PUBLISHER,
    ),
    Mutation(
        "batches are not cut to the topic's limit",
        (Edit("stepwell.delivery.cutting:encode_to_fit", "len(encoded.payload) > room", "False"),),
        CUTTING,
    ),
    Mutation(
        "a record that can't be sent loses its step",
        (
            Edit(
                "stepwell.delivery.cutting:placeholder",
                "for empty in (_without_values(item), ",
                "for empty in (",
            ),
        ),
        CUTTING,
    ),
    Mutation(
        "the SDK replaces a script's handler of SIGTERM",
        (
            Edit(
                "stepwell.session.sigterm:drain_on_sigterm",
                "and present is signal.SIG_DFL)",
                "and present is not None)",
            ),
        ),
        SIGTERM,
    ),
    Mutation(
        "a forked child's SIGTERM ends its parent",
        (
            Edit(
                "stepwell.session.sigterm:_Fork.in_child",
                "if isinstance(signal.getsignal(signal.SIGTERM), _Handler):",
                "if False:",
            ),
        ),
        SIGTERM,
    ),
    Mutation(
        "a session that counts on begins a line of its own",
        (Edit("stepwell.session.resume:_continue_line", "if newest is None else", "if True else"),),
        SESSION_ORDER,
    ),
    Mutation(
        "journals are ordered by the clock",
        (
            Edit(
                "stepwell.delivery.order:sort_key",
                "return info.generation, info.started, info.session",
                "return info.started, info.generation, info.session",
            ),
        ),
        ORDER,
    ),
    Mutation(
        "a session does not count the journals that it saw",
        (
            Edit(
                "stepwell.delivery.order:find_succession",
                "max((entry.info.generation for entry in known), default=0)",
                "max((entry.info.generation for entry in own), default=0)",
            ),
        ),
        ORDER,
    ),
    Mutation(
        "the next journal of a writer is sent while an older one waits",
        (
            Edit(
                "stepwell.delivery.order:find_sendable",
                "heads.setdefault((entry.run, entry.info.writer), entry)",
                "heads[(entry.run, entry.info.session)] = entry",
            ),
        ),
        ORPHANS,
    ),
    Mutation(
        "a session does not wait for older journals of its writer",
        (
            Edit(
                "stepwell.delivery.orphans:Orphans.deliver",
                "own = [entry for entry in busy if self._is_own(entry)]",
                "own: list[JournalEntry] = []",
            ),
        ),
        ORPHANS,
    ),
    Mutation(
        "a recovery takes a session that has ended for a live one",
        (
            Edit(
                "stepwell.delivery.orphans:Orphans._claim_next",
                "        live.clear()\n",
                "",
            ),
        ),
        ORPHANS,
    ),
    Mutation(
        "side streams don't wait for older journals",
        (
            Edit(
                "stepwell.delivery.orphans:Orphans._is_own",
                "main_writer(entry.info.writer)",
                "entry.info.writer",
            ),
        ),
        ORPHANS,
    ),
    Mutation(
        "a process that makes progress is not waited for",
        (
            Edit(
                "stepwell.delivery.order:Patience.is_over",
                "        if acknowledged > reached:\n",
                "        if False:\n",
            ),
        ),
        ORDER,
    ),
    Mutation(
        "a journal is delivered without a claim of its own",
        (
            Edit(
                "stepwell.delivery.orphans:Orphans._claim_next",
                "locks.claim(entry.path, shared=False)",
                "locks.claim(entry.path, shared=True)",
            ),
        ),
        ORPHANS,
    ),
    Mutation(
        "a delivered journal is removed before it may be stored",
        (
            Edit(
                "stepwell.delivery.orphans:Orphans.remove_delivered",
                "limit = time.monotonic() - age",
                "limit = time.monotonic()",
            ),
        ),
        ORPHANS,
    ),
    Mutation(
        "an offline run is delivered by another one",
        (
            Edit(
                "stepwell.delivery.other_runs:OtherRuns.__init__",
                " and not entry.info.offline",
                "",
            ),
        ),
        OTHER_RUNS,
    ),
    Mutation(
        "journals for another service are delivered to this one",
        (
            Edit(
                "stepwell.delivery.other_runs:OtherRuns.__init__",
                "entry.info.destination == destination and ",
                "",
            ),
        ),
        OTHER_RUNS,
    ),
    Mutation(
        "an error of one journal does not stop its writer",
        (
            Edit(
                "stepwell.delivery.sync:Blocked.add",
                "        self._lanes.setdefault((run, writer), error)\n",
                "",
            ),
        ),
        ORDER,
    ),
    Mutation(
        "a flush stores what it had planned of a run that it deletes",
        (Edit("stepwell_ingestor.planner.deletions:delete_run", "        _discard(flush, path)\n", "        pass\n"),),
        DELETIONS,
    ),
    Mutation(
        "sessions of a deleted run are forgotten, and their late records are stored",
        (
            Edit(
                "stepwell_ingestor.planner.deletions:delete_run",
                "{**dict.fromkeys(state.sessions, at), **dict(state.deleted.items())}",
                "dict(state.deleted.items())",
            ),
        ),
        DELETIONS,
    ),
    Mutation(
        "a deletion that is sent again deletes the run that took the name",
        (
            Edit(
                "stepwell_ingestor.planner.deletions:delete_run",
                "and item.event.timestamp == last",
                "and item.event.timestamp < last",
            ),
        ),
        DELETIONS,
    ),
    Mutation(
        "an edit creates a run",
        (
            Edit(
                "stepwell_ingestor.planner.deletions:is_only_about_existing_run",
                "return event.edited",
                "return False",
            ),
        ),
        DELETIONS,
    ),
    Mutation(
        "a repeated flush deletes the rows of the run that took the name",
        (
            Edit(
                "stepwell_schemas.clickhouse.run_rows:_DELETED",
                "AND {_OLDER.format(offset=offset)}",
                "AND {_OLDER.format(offset='0')}",
            ),
        ),
        ROW_DELETION,
    ),
    Mutation(
        "late rows of a deleted run are taken for those of the run that took the name",
        (
            Edit(
                "stepwell_ingestor.planner.run_state:RunState.begins",
                "return self.deletion.get(DELETED_OFFSET, _NOT_DELETED) + 1",
                "return 0",
            ),
        ),
        ROW_DELETION,
    ),
    Mutation(
        "numbers of a run that equal those of the deleted one are not written",
        (
            Edit(
                "stepwell_ingestor.planner.state_rows:_differences",
                "if number != old or (whole and name in after):",
                "if number != old:",
            ),
        ),
        DELETIONS,
    ),
    Mutation(
        "a spelling that was merged with a deleted run's is forgotten",
        (
            Edit(
                "stepwell_ingestor.flush.state_loader:_load_spellings",
                ' or (id(state), row["spelling"]) in keys',
                "",
            ),
        ),
        ROW_DELETION,
    ),
    Mutation(
        "late points of a deleted run are in the rollups of the run that took the name",
        (Edit("stepwell_schemas.rollups.sql:computing", "if begin := ", "if begin := 0 and "),),
        ROLLUP_ROWS,
    ),
    Mutation(
        "a media file that a run refers to is removed",
        (
            Edit(
                "stepwell_ingestor.removal.media:remove_media",
                "if sha256 in referenced:",
                "if sha256 not in referenced:",
            ),
        ),
        MEDIA_REMOVAL,
    ),
    Mutation(
        "sync removes what is not stored",
        (
            Edit(
                "stepwell.delivery.delivered_journals:may_remove",
                "stored.records >= delivered and not stored.differing_rows",
                "not stored.differing_rows",
            ),
        ),
        ORDER,
    ),
    Mutation(
        "sync removes a journal that is stored otherwise than it was sent",
        (
            Edit(
                "stepwell.delivery.delivered_journals:may_remove",
                "stored.records >= delivered and not stored.differing_rows",
                "stored.records >= delivered",
            ),
        ),
        ORDER,
    ),
    Mutation(
        "content that differs goes unnoticed",
        (
            Edit(
                "stepwell_ingestor.planner.content:ContentCheck.differs",
                "return stated is not None and",
                "return False and",
            ),
        ),
        CONTENT,
    ),
    Mutation(
        "the content is that of the steps that the session states, not of those that are stored",
        (
            Edit(
                "stepwell_ingestor.planner.content:begin_check",
                "        if marks is not None or not final:\n",
                "        if True:\n            final = False\n",
            ),
        ),
        CONTENT,
    ),
    Mutation(
        "rows that were stored before are added to the content again",
        (
            Edit(
                "stepwell_ingestor.planner.content:begin_check",
                "        weights = np.where(marks, weights, np.uint64(0))\n",
                "",
            ),
        ),
        CONTENT,
    ),
    Mutation(
        "the sender counts the content of what is not acknowledged",
        (
            Edit(
                "stepwell.delivery.publisher:Publisher._send_one",
                "        generation = self._transport.generation\n",
                "        generation = self._transport.generation\n        self.content += event.row_content\n",
            ),
        ),
        PUBLISHER,
    ),
    Mutation(
        "a receipt does not compare the content",
        (
            Edit(
                "stepwell.delivery.stored_content:is_same",
                "return content is None or content == stored.content",
                "return True",
            ),
        ),
        STORED_CONTENT,
    ),
    Mutation(
        "a receipt takes unknown content for the same",
        (
            Edit(
                "stepwell.delivery.stored_content:is_same",
                "    if stored.content_rows != stored.log_rows:\n        return None\n",
                "",
            ),
        ),
        STORED_CONTENT,
    ),
    Mutation(
        "a session that overtook its predecessor goes unnoticed",
        (
            Edit(
                "stepwell_ingestor.planner.run_events:_look_for_predecessor",
                "if event.predecessor and missing > 0:",
                "if event.predecessor and missing > event.predecessor_sequence:",
            ),
        ),
        EARLY,
    ),
    Mutation(
        "tables are replaced by less",
        (Edit("stepwell_deploy.rebuild.report:refusal", "if not fewer or accept_loss:", "if True or accept_loss:"),),
        REBUILD,
    ),
    Mutation(
        "a rebuild ends before the flush that was planned",
        (Edit("stepwell_ingestor.rebuild.ranges:_reached", "if log.plan and (", "if False and ("),),
        REBUILD,
    ),
    Mutation(
        "an interrupted switch exchanges tables back",
        (Edit("stepwell_deploy.rebuild.switch:tables_to_exchange", "present.get(name) != identity", "True"),),
        REBUILD,
    ),
    Mutation(
        "a rebuild begins an epoch of its own",
        (Edit("stepwell_ingestor.rebuild.ranges:seed_position", "if own is None:", "if True:"),),
        REBUILD,
    ),
    Mutation(
        "the partitions of a topic may differ",
        (
            Edit(
                "stepwell_schemas.topics:check_partitions",
                "spec.partitions == existing.partitions:",
                "True:",
            ),
        ),
        TOPICS,
    ),
    Mutation(
        "a segment is deleted before all of it is delivered",
        (
            Edit(
                "stepwell.journal.storage:MemoryStorage.remove_before",
                "following.info.base <= offset for following in self.segments[1:]",
                "segment.info.base <= offset for segment in self.segments[:-1]",
            ),
        ),
        SEGMENTS,
    ),
    Mutation(
        "records after a gap continue the numbers before it",
        (
            Edit(
                "stepwell.journal.reader:Reader._note_gap",
                "self.position = first_position(following)",
                "self.position = first_position(following)._replace(sequence=sequence)",
            ),
        ),
        SEGMENTS,
    ),
    Mutation(
        "rows after a gap continue from the rows before it",
        (Edit("stepwell.journal.reader:Reader._note_gap", "self.steps = _steps_at(following)", "pass"),),
        SEGMENTS,
    ),
    Mutation(
        "the steps after a gap are sent as if nothing was missing",
        (
            Edit(
                "stepwell.delivery.publisher:Publisher.send",
                "if len(self._reader.gaps) > gaps:",
                "if False:",
            ),
        ),
        SEGMENTS,
    ),
    Mutation(
        "a segment does not say whether a row has begun",
        (
            Edit(
                "stepwell.recording.step_counter:StepCounter._current_step",
                "self._begun == self.current",
                "False",
            ),
        ),
        BATCH_STEPS,
    ),
    Mutation(
        "a reader that begins at a segment counts on from the first one",
        (Edit("stepwell.journal.reader:Reader._begin_at", "_steps_at(segment)", "self.steps"),),
        BATCH_STEPS,
    ),
    Mutation(
        "records that were cut off after what is delivered are not missed",
        (
            Edit(
                "stepwell.delivery.journal_file:JournalFile.deliver_in_parts",
                " and stored.known_records() <= self.reached.sequence",
                "",
            ),
        ),
        SEGMENTS,
    ),
    Mutation(
        "a new segment lacks the definitions of layouts",
        (
            Edit(
                "stepwell.journal.appending:Appender._begin_segment",
                "            layout.reserve = UNDEFINED\n",
                "            pass\n",
            ),
        ),
        SEGMENTS,
    ),
    Mutation(
        "a failed write keeps its reserved space",
        (
            Edit(
                "stepwell.journal.appending:Appender._give_back",
                "            self.end = start\n            self.sequence -= numbers\n",
                "",
            ),
        ),
        DISK,
    ),
    Mutation(
        "a delivered segment stays on a full disk",
        (
            Edit(
                "stepwell.journal.room:choose_remedy",
                "Remedy.REPLACE if all_delivered and has_records else Remedy.RETRY",
                "Remedy.RETRY",
            ),
        ),
        DISK,
    ),
    Mutation(
        "another host's living journal is claimed when its lock is free",
        (
            Edit(
                "stepwell.journal.liveness:is_abandoned",
                "return around.local or (heartbeat.beats > 0 and around.unchanged_seconds >= HEARTBEAT_OLD_SECONDS)",
                "return True",
            ),
        ),
        LIVENESS,
    ),
    Mutation(
        "a changed heartbeat does not count",
        (Edit("stepwell.journal.liveness:Watch.observe", "if before != heartbeat:", "if before is None:"),),
        LIVENESS,
    ),
    Mutation(
        "a named writer is shown although the unnamed one logged the key",
        (Edit("stepwell_schemas.rules.writers:primary_writer", "name != UNNAMED, ", ""),),
        WRITERS,
    ),
    Mutation(
        "values of several writers of a key share a row",
        (
            Edit(
                "stepwell_query.rows.writer_rows:_assign_rows",
                "np.where(with_own_row, own, step * width + count)",
                "step * width + count",
            ),
        ),
        WRITER_ROWS,
    ),
    Mutation(
        "a batch script of SLURM counts as a rank",
        (
            Edit(
                "stepwell.session.launch:_read_rank",
                "if source is _SLURM and not _slurm_step(environ):",
                "if False:",
            ),
        ),
        LAUNCH,
    ),
    Mutation(
        "an id that a user chose counts as the id of a launch",
        (Edit("stepwell.session.launch:_ids", "if _UNIQUE.fullmatch(elastic.lower()) else", "if elastic else"),),
        LAUNCH,
    ),
    Mutation(
        "a claim of another process is ignored",
        (Edit("stepwell.session.node_claims:NodeClaims.owns", "            return False", "            return True"),),
        CLAIMS,
    ),
    Mutation(
        "the end of any rank ends the run",
        (Edit("stepwell.session.primacy:Primacy.ends_run", "return self._stand_in()", "return True"),),
        RANKS,
    ),
    Mutation(
        "a rank that starts later starts after the steps of the others",
        (
            Edit(
                "stepwell.session.resume:_start_of_rank",
                "return min(started, default=max(last, last_logged_step(orphans)) + 1)",
                "return max(last, last_logged_step(orphans)) + 1 + len(started)",
            ),
        ),
        RANKS,
    ),
    Mutation(
        "a rank continues after its journals only, whatever the service has of it",
        (
            Edit(
                "stepwell.session.resume:_start_of_rank",
                "return max(last_logged_step(own), last_own) + 1",
                "return last_logged_step(own) + 1",
            ),
        ),
        RANKS,
    ),
    Mutation(
        "a commit that was made by hand is repeated as an ingestor's",
        (
            Edit(
                "stepwell_ingestor.partitions:AssignedPartitions._store_position",
                'BY_HAND if evidence.by_hand else ""',
                '""',
            ),
        ),
        PARTITIONS,
    ),
    Mutation(
        "states of a flush whose records and plan are gone hold",
        (
            Edit(
                "stepwell_ingestor.positions.decide:_after_retention",
                "evidence.reached_here > own.logical_end",
                "False",
            ),
        ),
        DECISIONS,
    ),
    Mutation(
        "parts of the evidence are of different times: another member commits",
        (Edit(_OBSERVE, "committed_now[partition] == committed[partition] and ", ""),),
        PARTITIONS,
    ),
    Mutation(
        "parts of the evidence are of different times: another member stores a position",
        (Edit(_OBSERVE, " and positions_now.get(partition) == evidence.own", ""),),
        PARTITIONS,
    ),
    Mutation(
        "parts of the evidence are of different times: the tables have their first position",
        (Edit(_OBSERVE, "if positions_now and not stored.positions:", "if False:"),),
        PARTITIONS,
    ),
    Mutation(
        "the last process of a writer is taken for another one",
        (
            Edit(
                "stepwell_ingestor.planner.shared_writers:_overlap",
                " or state.last_sessions.get(name) == _checksum(event.session)",
                "",
            ),
        ),
        SHARED_WRITERS,
    ),
    Mutation(
        "a shared name is found whatever the clocks",
        (Edit(_KEEP_APART, "> CLOCKS_DIFFER_US", "> 0"),),
        SHARED_WRITERS,
    ),
    Mutation(
        "a session that continues a numbered one has no number",
        (Edit(_KEEP_APART, "if event.predecessor in state.numbered:", "if False:"),),
        SHARED_WRITERS,
    ),
    Mutation(
        "a number is given to two processes",
        (Edit(_RENAME, " and name not in state.writer_starts", ""),),
        SHARED_WRITERS,
    ),
    Mutation(
        "a numbered writer counts from 0",
        (Edit(_RENAME, "    state.wrote(name, state.writer(before))\n", ""),),
        SHARED_WRITERS,
    ),
    Mutation(
        "the start that arrives last counts as the last one",
        (
            Edit(
                "stepwell_ingestor.planner.shared_writers:note_start",
                "at >= state.writer_starts",
                "0 <= state.writer_starts",
            ),
        ),
        SHARED_WRITERS,
    ),
    Mutation(
        "processes without a name share it by accident",
        (Edit("stepwell_ingestor.planner.shared_writers:_is_named", "bool(writer) and ", ""),),
        SHARED_WRITERS,
    ),
)
