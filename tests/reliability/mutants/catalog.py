"""The mutations: exact replacements in the sources, and the tests that are to notice each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

_INGESTOR: Final = "ingestor/stepwell_ingestor"
_PRODUCER: Final = "producer/stepwell"
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
PUBLISHER: Final = ("tests/unit/producer/delivery/test_publisher.py",)
FLUSHING: Final = ("tests/unit/ingestor/flush/test_flushing.py",)
ROLLUPS: Final = ("tests/unit/ingestor/planner/test_rolling.py",)
MEMORY: Final = ("tests/unit/ingestor/flush/test_memory.py",)
REFUSALS: Final = ("tests/unit/ingestor/flush/test_refusals.py",)
TOKENS: Final = ("tests/unit/ingestor/flush/test_tokens.py",)


class Edit(NamedTuple):
    """An exact replacement; `old` must be in the file once."""

    file: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutation:
    """One way to break it. `tests`: the pytest files that are to fail, none for the simulation."""

    name: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...] = ()


def _flushing(old: str, new: str) -> Edit:
    return Edit(f"{_INGESTOR}/flush/flusher.py", old, new)


MUTATIONS: Final = (
    Mutation("the plan is not committed", (_flushing(_COMMIT_PLAN, ""),)),
    Mutation(
        "a plan that is found is not committed again",
        (_flushing(_COMMIT_PLAN, f"        if not planned:\n    {_COMMIT_PLAN}"),),
        FLUSHING,
    ),
    Mutation(
        "the plan is ignored at the start",
        (Edit(f"{_INGESTOR}/partitions.py", "owned, start, int(plan) if plan else None)", "owned, start, None)"),),
    ),
    Mutation("a token names only the table", (_flushing(_TOKEN, "return table"),)),
    Mutation("a token is random", (_flushing(_TOKEN, "return str(hash(object()))"),)),
    Mutation("a token leaves out the end", (_flushing(_TOKEN, _TOKEN.replace("{end}:", "")),), TOKENS),
    Mutation(
        "records that were there before are not skipped",
        (Edit(f"{_INGESTOR}/planner/plan.py", "skipped = min(max(following - sequence, 0), records)", "skipped = 0"),),
    ),
    Mutation(
        "a session's sequence does not move on",
        (
            Edit(
                f"{_INGESTOR}/planner/plan.py",
                "sessions[session] = max(following, sequence + records)",
                "sessions[session] = following",
            ),
        ),
    ),
    Mutation(
        "states are restored as of now",
        (
            Edit(
                f"{_INGESTOR}/flush/state_loader.py",
                'row["number"] if row["offset"] <= offset else row["previous_number"]',
                'row["number"]',
            ),
        ),
    ),
    Mutation(
        "the end is committed before the inserts",
        (_flushing(_INSERT_ALL + _DELIVER + _COMMIT_END, _COMMIT_END + _INSERT_ALL + _DELIVER),),
    ),
    Mutation(
        "a series says how far it came before its rollups are there", (_flushing(_ROLL + _INSERT, _INSERT + _ROLL),)
    ),
    Mutation(
        "rollups come before their points",
        (_flushing("if table == _REACHED:", "if table == next(iter(plan.tables)):"),),
    ),
    Mutation(
        "the bucket of the last step before stays without a row",
        (
            Edit(
                f"{_INGESTOR}/planner/rollups/plan.py",
                "apart = (of_prior < ends) & ~np.isin(of_prior, buckets)",
                "apart = of_prior < 0",
            ),
        ),
        ROLLUPS,
    ),
    Mutation(
        "rollups told from a flush are not stored",
        (_flushing("await self._in_thread(self._client.insert, TABLE, plan.rollups)", "pass"),),
    ),
    Mutation(
        "late rows leave closed buckets as they are",
        (
            Edit(
                f"{_INGESTOR}/planner/rollups/plan.py",
                "rollup_plan.choose(level, Buckets(path, _where(keys, ends == end), shut.tolist()))",
                "pass",
            ),
        ),
    ),
    Mutation(
        "open buckets are taken as known behind late rows",
        (Edit(f"{_INGESTOR}/planner/rollups/plan.py", '    row["bucket"] = UNKNOWN\n', ""),),
    ),
    Mutation(
        "the end is committed before the dead letters are sent",
        (_flushing(_DELIVER + _COMMIT_END, _COMMIT_END + _DELIVER),),
    ),
    Mutation(
        "dead letters are not waited for",
        (
            Edit(
                f"{_INGESTOR}/flush/deadletter_delivery.py",
                "            await (await self._kafka.send(self._topic, value, key, headers))\n",
                "            await self._kafka.send(self._topic, value, key, headers)\n",
            ),
        ),
    ),
    Mutation(
        "states are kept although the flush failed",
        (
            _flushing(_COMMIT_END + _PUT, _COMMIT_END),
            _flushing(_COMMIT_PLAN, _PUT + _COMMIT_PLAN),
            Edit(
                f"{_INGESTOR}/partitions.py",
                "flusher = self._make_flusher(partition)",
                "flusher = owned.flusher",
            ),
        ),
    ),
    Mutation(
        "what was before a flush is not remembered",
        (
            Edit(
                f"{_INGESTOR}/planner/run_tables.py",
                "(*path, scope, name, end, number, old)",
                "(*path, scope, name, end, number, ABSENT)",
            ),
        ),
    ),
    Mutation(
        "a partition is begun anew without a seek",
        (Edit(f"{_INGESTOR}/partitions.py", "self._kafka.seek(partition, first)", "pass"),),
    ),
    Mutation(
        "values that ClickHouse refuses take their key's spelling with them",
        (
            Edit(
                f"{_INGESTOR}/planner/plan.py",
                "places, keys, taken = _stored_keys(flush, item, block, unusable)",
                "places, keys, taken = [], [], 0\n    if not flush.left_out.values:\n"
                "        places, keys, taken = _stored_keys(flush, item, block, unusable)",
            ),
        ),
        REFUSALS,
    ),
    Mutation(
        "a layer writes through to what lies below",
        (Edit(f"{_INGESTOR}/planner/layers.py", "self.changed[key] = value", "self.base[key] = value"),),
        MEMORY,
    ),
    Mutation(
        "versions don't grow with the offset",
        (
            Edit(
                f"{_INGESTOR}/planner/plan.py",
                "np.arange(rows, dtype=np.uint64) + np.uint64(item.message.offset << VERSION_ROW_BITS)",
                "np.arange(rows, dtype=np.uint64)",
            ),
        ),
    ),
    Mutation(
        "a doubtful insert is not looked for",
        (_flushing("            if not doubtful:\n                return\n", "            return\n"),),
    ),
    Mutation(
        "a drain goes on behind a rebalance",
        (
            Edit(
                f"{_INGESTOR}/service.py",
                "still_owned = self._owned.partitions.get(partition) is owned",
                "still_owned = True",
            ),
            Edit(
                f"{_INGESTOR}/service.py",
                f"{_INDENT}owned.task = asyncio.create_task(self._flush(owned))\n{_INDENT}await owned.task\n",
                f"{_INDENT}await self._flush(owned)\n",
            ),
            # The other guard, as the simulated clients have it: a commit for another's partition is refused.
            Edit(
                "tests/reliability/simulation/client.py",
                "self._given = dict.fromkeys(self._assigned, self._present)",
                "self._given = dict.fromkeys(self._broker.logs, self._present)",
            ),
        ),
    ),
    Mutation(
        "a commit in doubt is followed by others of the same member",
        (Edit(f"{_INGESTOR}/kafka/fenced_commit.py", "        await kafka.rejoin(partition)\n", ""),),
    ),
    Mutation(
        "a commit in doubt counts as done",
        (
            Edit(
                f"{_INGESTOR}/kafka/fenced_commit.py",
                "if not again and await _is_done(",
                "if True or await _is_done(",
            ),
        ),
    ),
    Mutation(
        "a lost connection leaves no doubt",
        (
            Edit(
                f"{_INGESTOR}/kafka/client.py", "(RequestTimedOutError, KafkaConnectionError, CorrelationIdError)", "()"
            ),
        ),
        FENCE,
    ),
    Mutation(
        "the group is not left",
        (
            Edit(
                f"{_INGESTOR}/kafka/client.py",
                "            await coordinator._maybe_leave_group()\n",
                "            return\n",
            ),
        ),
        FENCE,
    ),
    Mutation(
        "a member that was thrown out commits",
        (Edit(f"{_INGESTOR}/kafka/client.py", _SIGNED, "if partition not in self._given:"),),
        CLIENTS,
    ),
    Mutation(
        "a member commits for another's partition",
        (Edit(f"{_INGESTOR}/kafka/client.py", _SIGNED, "if self._present_membership()[1] == '':"),),
        CLIENTS,
    ),
    Mutation(
        "the SDK acknowledges before the broker's answer",
        (
            Edit(
                f"{_PRODUCER}/delivery/publisher.py",
                "        await future\n        self._waiting.popleft()\n        self._acknowledge(after)\n",
                "        self._acknowledge(after)\n        await future\n        self._waiting.popleft()\n",
            ),
        ),
        PUBLISHER,
    ),
    Mutation(
        "the SDK numbers what it sends again from 0",
        (Edit(f"{_PRODUCER}/delivery/publisher.py", "self._info, before.sequence)", "self._info, 0)"),),
        PUBLISHER,
    ),
)
