/** The gateway as a process of `steno up`. */
import { runService } from '#runtime/service/process.js';
import { startGatewayProcess } from './process.js';

runService('gateway', startGatewayProcess);
