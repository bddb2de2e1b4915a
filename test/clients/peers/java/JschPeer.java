import com.jcraft.jsch.AgentIdentityRepository;
import com.jcraft.jsch.ChannelExec;
import com.jcraft.jsch.ChannelSftp;
import com.jcraft.jsch.ChannelShell;
import com.jcraft.jsch.JSch;
import com.jcraft.jsch.SSHAgentConnector;
import com.jcraft.jsch.Session;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/** A peer on com.github.mwiede:jsch. */
final class JschPeer extends Peer {
  public static void main(String[] args) throws Exception {
    new JschPeer().serve();
  }

  @Override
  boolean rekeysAtRest() {
    return true;
  }

  @Override
  Connection connect(boolean agent) throws Exception {
    JSch jsch = new JSch();
    jsch.setKnownHosts(knownHosts);
    if (agent) jsch.setIdentityRepository(new AgentIdentityRepository(new SSHAgentConnector(Path.of(System.getenv("SSH_AUTH_SOCK")))));
    else jsch.addIdentity(key, key + "-cert.pub", null);
    Session session = jsch.getSession(user, host, port);
    session.setConfig("StrictHostKeyChecking", "yes");
    session.setConfig("PreferredAuthentications", "publickey");
    session.connect(30_000);
    return new Over(session);
  }

  private record Over(Session session) implements Connection {
    @Override
    public Peer.Channel exec(String command) throws Exception {
      ChannelExec channel = (ChannelExec) session.openChannel("exec");
      channel.setCommand(command);
      return new Opened(channel, channel.getErrStream());
    }

    @Override
    public Peer.Channel shell(int columns, int rows) throws Exception {
      ChannelShell channel = (ChannelShell) session.openChannel("shell");
      channel.setPty(true);
      channel.setPtyType("xterm-256color", columns, rows, 0, 0);
      return new Opened(channel, null);
    }

    @Override
    public Peer.Channel direct(String to, int toPort) throws Exception {
      return new Opened(session.getStreamForwarder(to, toPort), null);
    }

    @Override
    public int listen(int localPort) throws Exception {
      return session.setPortForwardingR("127.0.0.1:0:127.0.0.1:" + localPort);
    }

    @Override
    public void unlisten(int allocated) throws Exception {
      session.delPortForwardingR("127.0.0.1", allocated);
    }

    @Override
    public FileClient files() throws Exception {
      ChannelSftp channel = (ChannelSftp) session.openChannel("sftp");
      channel.connect(30_000);
      return new Remote(channel);
    }

    @Override
    public void rekey() throws Exception {
      session.rekey();
    }

    @Override
    public void close() {
      session.disconnect();
    }
  }

  private static final class Opened implements Peer.Channel {
    private final com.jcraft.jsch.Channel channel;
    private final OutputStream in;
    private final InputStream out;
    private final InputStream err;

    Opened(com.jcraft.jsch.Channel channel, InputStream err) throws Exception {
      this.channel = channel;
      this.in = channel.getOutputStream();
      this.out = channel.getInputStream();
      this.err = err;
      channel.connect(30_000);
    }

    @Override
    public OutputStream in() {
      return in;
    }

    @Override
    public InputStream out() {
      return out;
    }

    @Override
    public InputStream err() {
      return err;
    }

    @Override
    public void resize(int columns, int rows) {
      ((ChannelShell) channel).setPtySize(columns, rows, 0, 0);
    }

    @Override
    public int exit() throws Exception {
      // The library offers no event for it.
      while (!channel.isClosed()) Thread.sleep(5);
      return channel.getExitStatus();
    }

    @Override
    public void close() {
      channel.disconnect();
    }
  }

  /** The library takes paths as patterns; a backslash makes a character plain. */
  private static String plain(String path) {
    return path.replaceAll("[\\\\*?]", "\\\\$0");
  }

  private record Remote(ChannelSftp channel) implements FileClient {
    @Override
    public void mkdir(String path) throws Exception {
      channel.mkdir(path);
    }

    @Override
    public void put(String local, String path) throws Exception {
      channel.put(local, plain(path));
    }

    @Override
    public void get(String path, String local) throws Exception {
      channel.get(plain(path), local);
    }

    @Override
    public void rename(String from, String to) throws Exception {
      channel.rename(plain(from), plain(to));
    }

    @Override
    public void symlink(String target, String path) throws Exception {
      channel.symlink(target, path);
    }

    @Override
    public String readlink(String path) throws Exception {
      return channel.readlink(plain(path));
    }

    @Override
    public List<String> list(String path) throws Exception {
      List<String> names = new ArrayList<>();
      channel.ls(plain(path), entry -> {
        names.add(entry.getFilename());
        return ChannelSftp.LsEntrySelector.CONTINUE;
      });
      return names;
    }

    @Override
    public long size(String path) throws Exception {
      return channel.stat(plain(path)).getSize();
    }

    @Override
    public void remove(String path) throws Exception {
      channel.rm(plain(path));
    }

    @Override
    public void rmdir(String path) throws Exception {
      channel.rmdir(plain(path));
    }

    @Override
    public void close() {
      channel.exit();
    }
  }
}
