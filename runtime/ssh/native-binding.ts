/**
 * Whether ssh2 found its compiled ciphers. Without them it works five times slower and says nothing: npm compiles
 * the binding for the Node that installs, and another Node drops it silently.
 */
import ssh2Crypto from 'ssh2/lib/protocol/crypto.js';

export function sshBindingAvailable(): boolean {
  return ssh2Crypto.bindingAvailable;
}
