/**
 * The four tables.
 *
 * - Every table is a ReplacingMergeTree on the identity of its rows, so duplicates become one row; a
 *   window of insert tokens drops most duplicates before they are written.
 * - Session ids begin with their time, so ordering by session is nearly ordering by time.
 * - `words`: every character that looks like a separator must separate. The tokenizer itself splits only at ASCII, so a
 *   frame drawn around a word (`│sudo`) would hide the word; everything but letters, marks and digits is blanked.
 *   Its dictionary also answers substrings of a word.
 * - `grams`: a Bloom filter of trigrams for each 8192 lines, for substrings across punctuation. An inverted index
 *   of trigrams answers these in 5 ms instead of 30 to 70 (a million lines), but takes 83 bytes per line; the lines
 *   themselves take 13, `words` takes 15 and this index takes one.
 */
import { durableSettings, monthsOf, onCluster, replacingEngine } from '../engine/layout.js';
import type { Migration } from './migration.js';
import { eventsTable } from './0002_sources.js';

const place = `
  user LowCardinality(String),
  node LowCardinality(String),
  login LowCardinality(String)`;

/** One index for all three: each index means two more files to write and fsync per insert. */
const placeIndex = `
  INDEX places (user, node, login) TYPE set(256) GRANULARITY 1`;

export const tables: Migration = {
  version: 1,
  name: 'tables',
  statements: (layout) => [
    `CREATE TABLE IF NOT EXISTS sessions${onCluster(layout)} (
  session String,
  version UInt64,
  kind LowCardinality(String),
  user LowCardinality(String),
  roles Array(LowCardinality(String)),
  node LowCardinality(String),
  login LowCardinality(String),
  gateway LowCardinality(String),
  counter UInt64,
  source_address String,
  client_version LowCardinality(String),
  certificate_serial UInt64,
  certificate_key_id String,
  command String,
  tty Bool,
  cols UInt16,
  rows UInt16,
  started_at DateTime64(3, 'UTC'),
  ended_at Nullable(DateTime64(3, 'UTC')),
  state LowCardinality(String),
  exit_code Nullable(UInt32),
  exit_signal Nullable(String),
  bytes_in UInt64,
  bytes_out UInt64,
  blocks UInt32,
  recording_bytes UInt64,
  stored_bytes UInt64,
  chain_head String,
  request_id String
) ENGINE = ${replacingEngine(layout, 'version')}${monthsOf(layout, 'started_at')} ORDER BY session SETTINGS ${durableSettings(layout)}`,

    // No released version with the earlier definition ever set up a server.
    layout.kind === 'server'
      ? eventsTable(layout, 'events')
      : `CREATE TABLE IF NOT EXISTS events (
  session String,
  block UInt32,
  \`index\` UInt32,
  at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  offset_ms UInt64,
  kind LowCardinality(String),${place},
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
  INDEX times at TYPE minmax GRANULARITY 1,${placeIndex},
  INDEX paths path TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX hashes sha256 TYPE bloom_filter(0.01) GRANULARITY 1,
  INDEX addresses address TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ReplacingMergeTree ORDER BY (session, block, \`index\`) SETTINGS ${durableSettings(layout)}`,

    `CREATE TABLE IF NOT EXISTS screen${onCluster(layout)} (
  session String,
  block UInt32,
  \`index\` UInt32,
  at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  offset_ms UInt64 CODEC(Delta, ZSTD(1)),
  row UInt16,
  text String CODEC(ZSTD(1)),${place},
  INDEX times at TYPE minmax GRANULARITY 1,${placeIndex},
  INDEX words lowerUTF8(replaceRegexpAll(text, '[^\\\\p{L}\\\\p{M}\\\\p{N}]+', ' ')) TYPE text(tokenizer = splitByNonAlpha),
  INDEX grams lowerUTF8(text) TYPE ngrambf_v1(3, 8192, 2, 0) GRANULARITY 1
) ENGINE = ${replacingEngine(layout)}${monthsOf(layout, 'at')} ORDER BY (session, block, \`index\`) SETTINGS ${durableSettings(layout)}`,

    `CREATE TABLE IF NOT EXISTS audit${onCluster(layout)} (
  id String,
  at DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
  event LowCardinality(String),
  actor LowCardinality(String),
  target String,
  outcome LowCardinality(String),
  code LowCardinality(String),
  reason String,
  source_address String,
  session String,
  node LowCardinality(String),
  login LowCardinality(String),
  data String CODEC(ZSTD(1)),
  INDEX times at TYPE minmax GRANULARITY 1,
  INDEX sessions session TYPE bloom_filter(0.01) GRANULARITY 1
) ENGINE = ${replacingEngine(layout)}${monthsOf(layout, 'at')} ORDER BY id SETTINGS ${durableSettings(layout)}`,
  ],
};
