import type { Engine } from '../engine/engine.js';
import type { Layout } from '../engine/layout.js';

/** One numbered step of the event store's schema. Released steps never change; a new one is added. */
export interface Migration {
  /** 1, 2, 3 ... without holes. */
  readonly version: number;
  readonly name: string;
  /**
   * Run in order, each once on success. The engine has no transactions over definitions, so each must be free
   * to repeat (IF NOT EXISTS), also at the same time by another process: a crash between two of them runs the whole step again.
   */
  readonly statements: (layout: Layout) => readonly string[];
  /** What statements alone cannot say, after them. As free to repeat as they are; runs on embedded stores alone, which one process owns. */
  readonly rebuild?: (engine: Engine) => Promise<void>;
}
