/**
 * Whether ssh2 found its compiled ciphers. Without them it silently runs five times slower: npm compiles the binding for the
 * Node version that installs, and another version does not load it.
 */
import ssh2Crypto from 'ssh2/lib/protocol/crypto.js';

export function sshBindingAvailable(): boolean {
  return ssh2Crypto.bindingAvailable;
}
