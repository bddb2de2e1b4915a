import type { Command } from 'commander';

/** Only the verb that was asked for is loaded: loading all of them takes longer than most verbs run. */
export type Verbs = Readonly<Record<string, () => Promise<Command>>>;
