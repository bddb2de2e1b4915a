/** One numbered step of the event store's schema. Released steps never change; a new one is added. */
export interface Migration {
  /** 1, 2, 3 ... without holes. */
  readonly version: number;
  readonly name: string;
  /**
   * Run in order, each once on success. The engine has no transactions over definitions, so each must be free
   * to repeat (IF NOT EXISTS): a crash between two of them runs the whole step again.
   */
  readonly statements: readonly string[];
}
