/** The names of the CAs, used everywhere. */
const sshCaNames = ['ssh-user', 'ssh-host', 'recording'] as const;
export type SshCaName = (typeof sshCaNames)[number];
export const caNames = [...sshCaNames, 'x509-user', 'x509-service'] as const;
export type CaName = (typeof caNames)[number];
