import { runService } from '#runtime/service.js';
import { startAgent } from './agent.js';

runService('agent', startAgent);
