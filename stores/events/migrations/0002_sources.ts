/**
 * Events of several sources, and events without a session; findings; a session's target, and its labels at the start.
 *
 * The key of `events` gains `source` and `emitter`, which ALTER cannot do, so the table is rewritten:
 *
 *   1. create `events_next`, empty         crash: it is created again
 *   2. copy the rows                        crash: as above
 *   3. exchange the two names               atomic; from here on `events` has the column `source`
 *   4. drop what is now `events_next`       crash before: the next run sees the column and only drops
 *
 * Meanwhile both tables take up space. Kernel rows used to be marked by the top bit of `block`, which is cleared.
 */
import type { Engine } from '../engine/engine.js';
import { EMBEDDED, durableSettings, monthsOf, onCluster, replacingEngine } from '../engine/layout.js';
import type { Layout } from '../engine/layout.js';
import type { Migration } from './migration.js';

export function eventsTable(layout: Layout, name: string): string {
  return `CREATE TABLE IF NOT EXISTS ${name}${onCluster(layout)} (
  session String,
  source LowCardinality(String),
  emitter LowCardinality(String),
  block UInt32,
  \`index\` UInt32,
  at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  offset_ms UInt64,
  kind LowCardinality(String),
  raw_kind LowCardinality(String),
  user LowCardinality(String),
  node LowCardinality(String),
  login LowCardinality(String),
  cluster LowCardinality(String),
  namespace LowCardinality(String),
  pod String,
  container LowCardinality(String),
  path String,
  size Nullable(UInt64),
  sha256 String,
  address String,
  port Nullable(UInt16),
  name String,
  reason String,
  outcome LowCardinality(String),
  count Nullable(UInt64),
  data String CODEC(ZSTD(1)),
  INDEX times at TYPE minmax GRANULARITY 1,
  INDEX places (user, node, login) TYPE set(256) GRANULARITY 1,
  INDEX paths path TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX hashes sha256 TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX addresses address TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ${replacingEngine(layout)}${monthsOf(layout, 'at')} ORDER BY (session, source, emitter, block, \`index\`) SETTINGS ${durableSettings(layout)}`;
}

const KERNEL = 0x8000_0000;
const same = [
  'at',
  'offset_ms',
  'kind',
  'user',
  'node',
  'login',
  'path',
  'size',
  'sha256',
  'address',
  'port',
  'name',
  'reason',
  'outcome',
  'count',
  'data',
].join(', ');

async function rewriteEvents(engine: Engine): Promise<void> {
  const [done] = await engine.read(
    "SELECT count() FROM system.columns WHERE database = currentDatabase() AND table = 'events' AND name = 'source'",
    {},
  );
  if (Number(done?.[0]) === 0) {
    await engine.command('DROP TABLE IF EXISTS events_next');
    await engine.command(eventsTable(EMBEDDED, 'events_next'));
    await engine.command(
      `INSERT INTO events_next (session, source, emitter, block, \`index\`, ${same}) ` +
        `SELECT session, if(block >= ${KERNEL}, 'kernel', 'recording'), if(block >= ${KERNEL}, concat('agent/', node), ''), ` +
        `toUInt32(if(block >= ${KERNEL}, block - ${KERNEL}, block)), \`index\`, ${same} FROM events`,
    );
    await engine.command('EXCHANGE TABLES events AND events_next');
  }
  await engine.command('DROP TABLE IF EXISTS events_next');
}

const sessionColumns = [
  'cluster LowCardinality(String)',
  'namespace LowCardinality(String)',
  'pod String',
  'container LowCardinality(String)',
  'image String',
  'labels Map(LowCardinality(String), String)',
  'labels_known Bool',
];

export const sources: Migration = {
  version: 2,
  name: 'sources',
  statements: (layout) => [
    `ALTER TABLE sessions${onCluster(layout)} ${sessionColumns.map((column) => `ADD COLUMN IF NOT EXISTS ${column}`).join(', ')}`,
    `CREATE TABLE IF NOT EXISTS findings${onCluster(layout)} (
  id String,
  version UInt64,
  rule LowCardinality(String),
  rule_version UInt32,
  severity LowCardinality(String),
  techniques Array(LowCardinality(String)),
  session String,
  user LowCardinality(String),
  node LowCardinality(String),
  login LowCardinality(String),
  at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  offset_ms Nullable(UInt64),
  row Nullable(UInt16),
  evidence Array(String) CODEC(ZSTD(1)),
  state LowCardinality(String),
  dedup_key String,
  data String CODEC(ZSTD(1)),
  INDEX times at TYPE minmax GRANULARITY 1,
  INDEX sessions session TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ${replacingEngine(layout, 'version')}${monthsOf(layout, 'at')} ORDER BY id SETTINGS ${durableSettings(layout)}`,
  ],
  rebuild: rewriteEvents,
};
