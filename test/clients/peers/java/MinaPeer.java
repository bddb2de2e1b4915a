import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyPair;
import java.security.PublicKey;
import java.util.ArrayList;
import java.util.EnumSet;
import java.util.List;
import org.apache.sshd.client.SshClient;
import org.apache.sshd.client.channel.ClientChannel;
import org.apache.sshd.client.channel.ClientChannelEvent;
import org.apache.sshd.client.channel.ChannelShell;
import org.apache.sshd.client.keyverifier.KnownHostsServerKeyVerifier;
import org.apache.sshd.client.keyverifier.RejectAllServerKeyVerifier;
import org.apache.sshd.client.session.ClientSession;
import org.apache.sshd.common.config.keys.PublicKeyEntry;
import org.apache.sshd.common.keyprovider.FileKeyPairProvider;
import org.apache.sshd.common.util.net.SshdSocketAddress;
import org.apache.sshd.server.forward.AcceptAllForwardingFilter;
import org.apache.sshd.sftp.client.SftpClient;
import org.apache.sshd.sftp.client.SftpClientFactory;

/** A peer on org.apache.sshd (Apache MINA SSHD). */
final class MinaPeer extends Peer {
  private final SshClient client = SshClient.setUpDefaultClient();

  private MinaPeer() {
    client.setServerKeyVerifier(new KnownHostsServerKeyVerifier(RejectAllServerKeyVerifier.INSTANCE, Path.of(knownHosts)));
    client.setHostConfigEntryResolver(org.apache.sshd.client.config.hosts.HostConfigEntryResolver.EMPTY);
    client.setForwardingFilter(AcceptAllForwardingFilter.INSTANCE);
    client.start();
  }

  public static void main(String[] args) throws Exception {
    new MinaPeer().serve();
  }

  @Override
  Connection connect(boolean agent) throws Exception {
    ClientSession session = client.connect(user, host, port).verify(30_000).getSession();
    try {
      KeyPair pair = new FileKeyPairProvider(Path.of(key)).loadKeys(session).iterator().next();
      PublicKey certificate = PublicKeyEntry.parsePublicKeyEntry(Files.readString(Path.of(key + "-cert.pub")).trim()).resolvePublicKey(session, null, null);
      session.addPublicKeyIdentity(new KeyPair(certificate, pair.getPrivate()));
      session.auth().verify(30_000);
    } catch (Exception problem) {
      session.close(true);
      throw problem;
    }
    return new Over(session);
  }

  private record Over(ClientSession session) implements Connection {
    private static Channel opened(ClientChannel channel) throws Exception {
      channel.open().verify(30_000);
      return new Opened(channel);
    }

    @Override
    public Channel exec(String command) throws Exception {
      return opened(session.createExecChannel(command));
    }

    @Override
    public Channel shell(int columns, int rows) throws Exception {
      ChannelShell channel = session.createShellChannel();
      channel.setUsePty(true);
      channel.setPtyType("xterm-256color");
      channel.setPtyColumns(columns);
      channel.setPtyLines(rows);
      return opened(channel);
    }

    @Override
    public Channel direct(String to, int toPort) throws Exception {
      return opened(session.createDirectTcpipChannel(new SshdSocketAddress("127.0.0.1", 0), new SshdSocketAddress(to, toPort)));
    }

    @Override
    public int listen(int localPort) throws Exception {
      return session.startRemotePortForwarding(new SshdSocketAddress("127.0.0.1", 0), new SshdSocketAddress("127.0.0.1", localPort)).getPort();
    }

    @Override
    public void unlisten(int allocated) throws Exception {
      session.stopRemotePortForwarding(new SshdSocketAddress("127.0.0.1", allocated));
    }

    @Override
    public FileClient files() throws Exception {
      return new Remote(SftpClientFactory.instance().createSftpClient(session));
    }

    @Override
    public void rekey() throws Exception {
      session.reExchangeKeys().verify(30_000);
    }

    @Override
    public void close() throws Exception {
      session.close(false).await(30_000);
    }
  }

  private record Opened(ClientChannel channel) implements Channel {
    @Override
    public OutputStream in() {
      return channel.getInvertedIn();
    }

    @Override
    public InputStream out() {
      return channel.getInvertedOut();
    }

    @Override
    public InputStream err() {
      return channel.getInvertedErr();
    }

    @Override
    public void resize(int columns, int rows) throws Exception {
      ((ChannelShell) channel).sendWindowChange(columns, rows);
    }

    @Override
    public int exit() {
      channel.waitFor(EnumSet.of(ClientChannelEvent.CLOSED), 30_000);
      return channel.getExitStatus();
    }

    @Override
    public void close() throws Exception {
      channel.close(false).await(30_000);
    }
  }

  private record Remote(SftpClient client) implements FileClient {
    @Override
    public void mkdir(String path) throws Exception {
      client.mkdir(path);
    }

    @Override
    public void put(String local, String path) throws Exception {
      try (OutputStream to = client.write(path)) {
        Files.copy(Path.of(local), to);
      }
    }

    @Override
    public void get(String path, String local) throws Exception {
      try (InputStream from = client.read(path)) {
        Files.copy(from, Path.of(local));
      }
    }

    @Override
    public void rename(String from, String to) throws Exception {
      client.rename(from, to);
    }

    @Override
    public void symlink(String target, String path) throws Exception {
      client.symLink(path, target);
    }

    @Override
    public String readlink(String path) throws Exception {
      return client.readLink(path);
    }

    @Override
    public List<String> list(String path) throws Exception {
      List<String> names = new ArrayList<>();
      client.readEntries(path).forEach(entry -> names.add(entry.getFilename()));
      return names;
    }

    @Override
    public long size(String path) throws Exception {
      return client.stat(path).getSize();
    }

    @Override
    public void remove(String path) throws Exception {
      client.remove(path);
    }

    @Override
    public void rmdir(String path) throws Exception {
      client.rmdir(path);
    }

    @Override
    public void close() throws Exception {
      client.close();
    }
  }
}
