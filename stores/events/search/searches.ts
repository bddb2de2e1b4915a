/** The searches of one store, which share what is known of its newest part. */
import type { Engine } from '../engine/engine.js';
import type { EventStore } from '../contract.js';
import { searchOverview } from './overview.js';
import { Recency } from './recency.js';
import { searchBySession, searchRows, searchValuesOf } from './search.js';

export class Searches {
  readonly #engine: Engine;
  readonly #recency: Recency;

  constructor(engine: Engine, recency = new Recency(engine)) {
    this.#engine = engine;
    this.#recency = recency;
  }

  rows(...[query]: Parameters<EventStore['searchRows']>): ReturnType<EventStore['searchRows']> {
    return searchRows(this.#engine, query, this.#recency);
  }

  bySession(...[query]: Parameters<EventStore['searchBySession']>): ReturnType<EventStore['searchBySession']> {
    return searchBySession(this.#engine, query, this.#recency);
  }

  overview(...[query]: Parameters<EventStore['searchOverview']>): ReturnType<EventStore['searchOverview']> {
    return searchOverview(this.#engine, query, this.#recency);
  }

  values(...[query]: Parameters<EventStore['searchValues']>): ReturnType<EventStore['searchValues']> {
    return searchValuesOf(this.#engine, query);
  }
}
