import type { Engine } from '../engine/engine.js';
import type { Layout } from '../engine/layout.js';

/** One numbered step of the event store's schema. Released steps never change; add new ones instead. */
export interface Migration {
  /** 1, 2, 3 ... without gaps. */
  readonly version: number;
  readonly name: string;
  /**
   * Run in order, each once on success. The engine has no transactions over definitions, so each must be repeatable (IF NOT
   * EXISTS), even concurrently by another process: after a crash between two of them the whole step runs again.
   */
  readonly statements: (layout: Layout) => readonly string[];
  /**
   * Work that statements cannot express, run after them. It must be equally repeatable; runs only on embedded stores, which
   * one process owns.
   */
  readonly rebuild?: (engine: Engine) => Promise<void>;
}
