/** The gateway as a process of `steno up`. */
import { runService } from '#runtime/service/process.js';
// Loaded while the authority starts; with several workers it is they who need it.
import './process.js';
import { startGatewayService } from './service.js';

runService('gateway', startGatewayService);
