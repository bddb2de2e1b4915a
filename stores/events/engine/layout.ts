/**
 * Storage layouts, and the parts of table definitions that depend on them.
 *
 *   embedded   one chDB directory: MergeTree engines, no partitions
 *   server     a ClickHouse server: the same engines, a partition for each month, so that a month can be dropped or moved whole
 *   cluster    several servers: replicated engines, every definition ON CLUSTER; an insert is acknowledged by a majority
 *
 * Embedded tables have no partitions: an insert that spans months would write and fsync a part for each, and a search would
 * read one index for each (docs/decisions/0066). Tested in stores/events/migrations/migrations.test.ts.
 */

export interface Layout {
  readonly kind: 'embedded' | 'server';
  /** Name of the cluster in the server's configuration; `undefined`: a single server without replication. */
  readonly cluster?: string | undefined;
}

export const EMBEDDED: Layout = { kind: 'embedded' };

/**
 * An acknowledged insert, including its folder entry, is on disk and stays so through merges; a window of tokens drops most
 * duplicates.
 */
export function durableSettings({ cluster }: Layout): string {
  const durable =
    'fsync_after_insert = 1, fsync_part_directory = 1, min_rows_to_fsync_after_merge = 1, min_compressed_bytes_to_fsync_after_merge = 1';
  return cluster === undefined
    ? `${durable}, non_replicated_deduplication_window = 10000`
    : `${durable}, replicated_deduplication_window = 10000, replicated_deduplication_window_seconds = 604800`;
}

/** `version`: the column whose highest value wins. */
export function replacingEngine({ cluster }: Layout, version?: string): string {
  if (cluster === undefined) return `ReplacingMergeTree${version === undefined ? '' : `(${version})`}`;
  // By table id rather than name: a table that a migration replaces needs another path.
  const path = `'/clickhouse/tables/{uuid}/{shard}', '{replica}'`;
  return `ReplicatedReplacingMergeTree(${path}${version === undefined ? '' : `, ${version}`})`;
}

export function monthsOf({ kind }: Layout, moment: string): string {
  return kind === 'embedded' ? '' : ` PARTITION BY toYYYYMM(${moment})`;
}

/** Follows the name in a definition. */
export function onCluster({ cluster }: Layout): string {
  return cluster === undefined ? '' : ` ON CLUSTER ${cluster}`;
}

/** For every INSERT. A batch may span more months than the server's default allows. */
export function insertSettings({ kind, cluster }: Layout): string {
  if (kind === 'embedded') return '';
  const quorum = cluster === undefined ? '' : ", insert_quorum = 'auto'";
  return `, max_partitions_per_insert_block = 0${quorum}`;
}
