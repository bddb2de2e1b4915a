/** The authority as a process of `steno up`. */
import { runService } from '#runtime/service.js';
import { startAuthority } from './authority.js';
import type { AuthorityConfig } from './authority.js';

runService<AuthorityConfig>('authority', (config, { log }) => startAuthority(config, { log, clock: Date.now }));
