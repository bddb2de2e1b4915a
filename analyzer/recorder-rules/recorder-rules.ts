/**
 * Rules that only a recorder can have, as detectors: they see screen and kernel of one session together, and activity of a node outside
 * its sessions.
 */
import type { Detector } from '../detection/detector.js';
import { bypassDetector } from './bypass.js';
import { clipboardDetector } from './clipboard.js';
import { configurationDetector } from './configuration.js';
import { recordingDetector } from './recording.js';
import { reverseShellDetector } from './reverse-shell.js';
import { secretDetector } from './secrets.js';
import { unshownDetector } from './unshown.js';

export function recorderDetectors(): readonly Detector[] {
  return [
    secretDetector(),
    reverseShellDetector(),
    recordingDetector(),
    unshownDetector(),
    clipboardDetector(),
    configurationDetector(),
    bypassDetector(),
  ];
}
