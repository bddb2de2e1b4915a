/** The gateway as a process of `steno up`. */
import { runService } from '#runtime/service/process.js';
// Loaded while the authority starts. With several workers only the workers need this module.
import './process.js';
import { startGatewayService } from './service.js';

runService('gateway', startGatewayService);
