"""The mutations: replacements within symbols of the sources, and the tests that must fail for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from reliability.mutants.edits import Edit

_FLUSH: Final = "stepwell_ingestor.flush.flusher:Flusher.flush"
_STORE: Final = "stepwell_ingestor.flush.flusher:Flusher._store"
_INSERT_TOKEN: Final = "stepwell_ingestor.flush.flusher:insert_token"
_COMMIT: Final = "stepwell_ingestor.kafka.client:AiokafkaClients.commit"
_COMMIT_PLAN: Final = "        await commit(self._kafka, self._partition, first, str(end), again=planned)\n"
_INSERT_ALL: Final = """        plan = await self._store(plan, plan_without, token, first, planned)
        self._report(plan)
"""
_ROLL: Final = """            if table == _REACHED:
                await self._store_rollups(plan)
"""
_INSERT: Final = """            try:
                await self._insert(table, plan.tables[table], token(table), first, doubtful=planned)
            except StoreRejectedError as error:
                if not is_divisible(table, error):
                    raise
                left_out.add(await insert_divided(partial(self._insert_again, table), table, plan.tables[table], error))
                # The tables that are stored have the same rows in the new plan, so no row has to be taken back.
                plan = await asyncio.to_thread(plan_without, left_out)
"""
_DELIVER: Final = "        await self._letters.deliver(self._partition, plan.dead, self._given_up)\n"
_COMMIT_END: Final = '        await commit(self._kafka, self._partition, end, "")\n'
_PUT: Final = "        self._states.put(plan.states)\n"
_TOKEN: Final = 'return f"{partition.topic}:{partition.partition}:{first.offset}:{end}:{record}:{table}"'
_INDENT: Final = 16 * " "
_SIGNED: Final = "if self._given.get(partition) != self._present_membership():"

CLIENTS: Final = ("tests/integration/ingestor/test_kafka_clients.py",)
FENCE: Final = ("tests/integration/ingestor/test_overtaken_commits.py",)
DISK: Final = ("tests/unit/producer/journal/test_full_disk.py",)
LIVENESS: Final = ("tests/unit/producer/journal/test_liveness.py",)
SEGMENTS: Final = ("tests/unit/producer/journal/test_segments.py",)
PUBLISHER: Final = ("tests/unit/producer/delivery/test_publisher.py",)
FLUSHING: Final = ("tests/unit/ingestor/flush/test_flushing.py",)
ROLLUPS: Final = ("tests/unit/ingestor/planner/test_rolling.py",)
MEMORY: Final = ("tests/unit/ingestor/flush/test_memory.py",)
REFUSALS: Final = ("tests/unit/ingestor/flush/test_refusals.py",)
TOKENS: Final = ("tests/unit/ingestor/flush/test_tokens.py",)


@dataclass(frozen=True)
class Mutation:
    """A change that breaks exactly-once ingestion.

    `tests` are the pytest files that must fail; if there are none, the simulation must fail.
    """

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...] = ()


MUTATIONS: Final = (
    Mutation("the plan is not committed", (Edit(_FLUSH, _COMMIT_PLAN, ""),)),
    Mutation(
        "a plan that is found is not committed again",
        (Edit(_FLUSH, _COMMIT_PLAN, f"        if not planned:\n    {_COMMIT_PLAN}"),),
        FLUSHING,
    ),
    Mutation(
        "the plan is ignored at the start",
        (
            Edit(
                "stepwell_ingestor.partitions:AssignedPartitions.read_plans",
                "owned, start, int(plan) if plan else None)",
                "owned, start, None)",
            ),
        ),
    ),
    Mutation("a token names only the table", (Edit(_INSERT_TOKEN, _TOKEN, "return table"),)),
    Mutation("a token is random", (Edit(_INSERT_TOKEN, _TOKEN, "return str(hash(object()))"),)),
    Mutation("a token leaves out the end", (Edit(_INSERT_TOKEN, _TOKEN, _TOKEN.replace("{end}:", "")),), TOKENS),
    Mutation(
        "records that were there before are not skipped",
        (
            Edit(
                "stepwell_ingestor.planner.plan:_skip_repeated",
                "skipped = min(max(following - sequence, 0), records)",
                "skipped = 0",
            ),
        ),
    ),
    Mutation(
        "a session's sequence does not move on",
        (
            Edit(
                "stepwell_ingestor.planner.plan:_skip_repeated",
                "sessions[session] = max(following, sequence + records)",
                "sessions[session] = following",
            ),
        ),
    ),
    Mutation(
        "states are restored as of now",
        (
            Edit(
                "stepwell_ingestor.flush.state_loader:_load",
                'row["number"] if row["offset"] <= offset else row["previous_number"]',
                'row["number"]',
            ),
        ),
    ),
    Mutation(
        "the end is committed before the inserts",
        (Edit(_FLUSH, _INSERT_ALL + _DELIVER + _COMMIT_END, _COMMIT_END + _INSERT_ALL + _DELIVER),),
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
                "apart = (of_prior < ends) & ~np.isin(of_prior, buckets)",
                "apart = of_prior < 0",
            ),
        ),
        ROLLUPS,
    ),
    Mutation(
        "rollups computed from a flush are not stored",
        (
            Edit(
                "stepwell_ingestor.flush.flusher:Flusher._store_rollups",
                "await self._in_thread(self._client.insert, TABLE, plan.rollups)",
                "pass",
            ),
        ),
    ),
    Mutation(
        "late rows leave closed buckets as they are",
        (
            Edit(
                "stepwell_ingestor.planner.rollups.plan:_choose_touched",
                "rollup_plan.choose(level, Buckets(path, _where(keys, ends == end), shut.tolist()))",
                "pass",
            ),
        ),
    ),
    Mutation(
        "open buckets count as known after late rows",
        (Edit("stepwell_ingestor.planner.rollups.plan:_unknown_row", '    row["bucket"] = UNKNOWN\n', ""),),
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
                "stepwell_ingestor.planner.run_tables:_states",
                "(*path, scope, name, end, number, old)",
                "(*path, scope, name, end, number, ABSENT)",
            ),
        ),
    ),
    Mutation(
        "a partition starts again without a seek",
        (Edit("stepwell_ingestor.partitions:AssignedPartitions._begin", "self._kafka.seek(partition, first)", "pass"),),
    ),
    Mutation(
        "values that ClickHouse refuses take their key's spelling with them",
        (
            Edit(
                "stepwell_ingestor.planner.plan:_take_block",
                "places, keys, taken = _stored_keys(flush, item, block, unusable)",
                "places, keys, taken = [], [], 0\n    if not flush.left_out.values:\n"
                "        places, keys, taken = _stored_keys(flush, item, block, unusable)",
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
                "stepwell_ingestor.planner.plan:_take_batch",
                "np.arange(rows, dtype=np.uint64) + np.uint64(item.message.offset << VERSION_ROW_BITS)",
                "np.arange(rows, dtype=np.uint64)",
            ),
        ),
    ),
    Mutation(
        "a doubtful insert is not looked for",
        (
            Edit(
                "stepwell_ingestor.flush.flusher:Flusher._insert",
                "            if not doubtful:\n                return\n",
                "            return\n",
            ),
        ),
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
        "the SDK acknowledges before the broker's answer",
        (
            Edit(
                "stepwell.delivery.publisher:Publisher._settle_one",
                "        await future\n        self._waiting.popleft()\n        self._acknowledge(after)\n",
                "        self._acknowledge(after)\n        await future\n        self._waiting.popleft()\n",
            ),
        ),
        PUBLISHER,
    ),
    Mutation(
        "the SDK numbers what it sends again from 0",
        (Edit("stepwell.delivery.publisher:Publisher.send", "self._info, before.sequence)", "self._info, 0)"),),
        PUBLISHER,
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
        (Edit("stepwell.journal.reader:Reader._note_gap", "self._resume_step = following.info.step", "pass"),),
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
)
