/** The authority as a process of `steno up`. */
import { runService } from '#runtime/service/process.js';
import { startAuthorityProcess } from './process.js';

runService('authority', startAuthorityProcess);
