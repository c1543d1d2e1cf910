/**
 * A client of the original, for a page: nothing but its six messages. Of all others it knows nothing, and so does not obey.
 */

/**
 * Runs in the page.
 * @param {string} room
 */
export async function speakSeed(room) {
  window.seed = {};
  window.seed_errors = 0;
  const media = await navigator.mediaDevices.getUserMedia({ audio: true, video: { width: 160, height: 120, frameRate: 10 } });
  const socket = new WebSocket(`ws://${location.host}/ws?room=${room}`);
  const send = (type, targetId, payload) => socket.send(JSON.stringify({ type, targetId, payload }));
  const lineTo = (id) => {
    if (window.seed[id] !== undefined) return window.seed[id];
    const line = new RTCPeerConnection();
    window.seed[id] = line;
    for (const track of media.getTracks()) line.addTrack(track, media);
    line.onicecandidate = ({ candidate }) => {
      if (candidate) send("ice-candidate", id, { candidate });
    };
    line.ontrack = ({ streams: [stream] }) => {
      const video = document.createElement("video");
      video.srcObject = stream;
      document.body.append(video);
      video.play().catch(() => {});
    };
    return line;
  };
  const offer = async (id) => {
    const line = lineTo(id);
    await line.setLocalDescription(await line.createOffer());
    send("offer", id, { sdp: line.localDescription });
  };
  const heard = {
    "init-peers": ({ peerIds }) => Promise.all(peerIds.map(offer)),
    "new-peer": ({ id }) => { lineTo(id); },
    "peer-disconnect": ({ id }) => {
      window.seed[id]?.close();
      delete window.seed[id];
    },
    offer: async ({ senderId, sdp }) => {
      const line = lineTo(senderId);
      await line.setRemoteDescription(new RTCSessionDescription(sdp));
      await line.setLocalDescription(await line.createAnswer());
      send("answer", senderId, { sdp: line.localDescription });
    },
    answer: ({ senderId, sdp }) => window.seed[senderId].setRemoteDescription(new RTCSessionDescription(sdp)),
    "ice-candidate": ({ senderId, candidate }) => window.seed[senderId].addIceCandidate(new RTCIceCandidate(candidate)),
  };
  socket.onmessage = async ({ data }) => {
    const { type, payload } = JSON.parse(data);
    try {
      await heard[type]?.(payload);
    } catch (error) {
      window.seed_errors += 1;
      console.error(String(error));
    }
  };
}
