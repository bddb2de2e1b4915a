/** The common configuration of sshd in tests: certificates only, as root without PAM, on one loopback port. */

export interface SshdFiles {
  /** Omitted for `sshd -i`, which is handed its connection. */
  readonly port?: number;
  readonly hostKeys: readonly { readonly key: string; readonly certificate?: string | undefined }[];
  readonly userCas: string;
}

/** The text of `sshd_config`. `more`: further lines; for each keyword, the first value counts (sshd_config(5)). */
export function sshdConfig({ port, hostKeys, userCas }: SshdFiles, more: readonly string[] = []): string {
  return [
    ...(port === undefined ? [] : [`ListenAddress 127.0.0.1:${port}`]),
    ...hostKeys.flatMap(({ key, certificate }) => [
      `HostKey ${key}`,
      ...(certificate === undefined ? [] : [`HostCertificate ${certificate}`]),
    ]),
    `TrustedUserCAKeys ${userCas}`,
    'AuthorizedKeysFile none',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'StrictModes no',
    'PermitRootLogin yes',
    'UsePAM no',
    'PidFile none',
    'MaxStartups 100',
    'Subsystem sftp internal-sftp',
    'AcceptEnv LANG LC_*',
    'PrintMotd no',
    'PrintLastLog no',
    ...more,
    '',
  ].join('\n');
}

/** Options of `ssh` that ignore the account's configuration and keys, and present one certificate. */
export function strictClient(files: {
  readonly proxyCommand: string;
  readonly knownHosts: string;
  readonly identity: string;
  readonly user: string;
}): string[] {
  const options = [
    `ProxyCommand=${files.proxyCommand}`,
    `UserKnownHostsFile=${files.knownHosts}`,
    'StrictHostKeyChecking=yes',
    'BatchMode=yes',
    'IdentitiesOnly=yes',
    'IdentityAgent=none',
    `CertificateFile=${files.identity}-cert.pub`,
    `User=${files.user}`,
  ];
  return ['-F', 'none', ...options.flatMap((option) => ['-o', option]), '-i', files.identity];
}
