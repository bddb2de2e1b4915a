/**
 * Opens the stores that a service's configuration names; omitted ones are kept under its data folder. Tested end to end.
 */
import { join } from 'node:path';
import { openEventStore } from '../events/clickhouse/store.js';
import type { EventStore } from '../events/contract.js';
import type { ObjectStore } from '../objects/contract.js';
import { openObjects } from '../objects/open.js';

export interface StoresConfig {
  readonly data: string;
  /** `s3://BUCKET/PREFIX`. */
  readonly objects?: string | undefined;
  /** `password`: from the source that the configuration names. */
  readonly events?:
    { readonly url: string; readonly database: string; readonly username: string; readonly cluster?: string | undefined } | undefined;
}

export interface Stores {
  readonly objects: ObjectStore;
  readonly events: EventStore;
  close(): Promise<void>;
}

/** The embedded event store belongs to one process at a time. `say` receives messages for the operator. */
export async function openStores(config: StoresConfig, password: string | undefined, say: (line: string) => void): Promise<Stores> {
  const events = await openEventStore(
    config.events === undefined
      ? { kind: 'chdb', path: join(config.data, 'events') }
      : { kind: 'server', ...config.events, ...(password === undefined ? {} : { password }) },
  );
  try {
    const objects = await openObjects(config.objects ?? null, join(config.data, 'objects'), say);
    return {
      events,
      objects,
      close: async () => {
        await objects.close();
        await events.close();
      },
    };
  } catch (error) {
    await events.close();
    throw error;
  }
}
