import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { LocalMedia } from "../../../../www/rooms/media/localMedia.js";
import { joinIntent } from "../../../../www/rooms/ui/joinIntent.js";

globalThis.MediaStream ??= class {};

class Track extends EventTarget {
  enabled = true;
  readyState = "live";
  muted = false;

  /** The system takes it away, or gives it back. @param {boolean} muted */
  interrupt(muted) {
    this.muted = muted;
    this.dispatchEvent(new Event(muted ? "mute" : "unmute"));
  }

  constructor(kind) {
    super();
    this.kind = kind;
  }

  stop() {
    this.readyState = "ended";
  }

  getSettings() {
    return {};
  }
}

const denied = () => Object.assign(new Error("denied"), { name: "NotAllowedError" });
const busy = () => Object.assign(new Error("busy"), { name: "NotReadableError" });
const settled = () => new Promise((resolve) => setTimeout(resolve, 0));

/** Devices that open when the test says so. */
class SlowDevices {
  unavailable = null;
  /** @type {{ names: string, grant: () => Promise<Track[]>, refuse: (error: Error) => Promise<void> }[]} */
  requests = [];

  #request(...kinds) {
    return new Promise((resolve, reject) => {
      this.requests.push({
        names: kinds.join("+"),
        grant: async () => {
          const tracks = kinds.map((kind) => new Track(kind));
          resolve(tracks);
          await settled();
          return tracks;
        },
        refuse: async (error) => {
          reject(error);
          await settled();
        },
      });
    });
  }

  openBoth() {
    return this.#request("audio", "video");
  }

  async open(device) {
    return (await this.#request(device === "camera" ? "video" : "audio"))[0];
  }

  openScreen() {
    return this.#request("video");
  }

  defaultName = "first";
  defaultMicrophone = async () => this.defaultName;
}

describe("local media while devices open", () => {
  /** @type {SlowDevices} */
  let devices;
  /** @type {LocalMedia} */
  let media;
  /** @type {Record<string, string>} */
  let problems;

  const intent = () => joinIntent(media);
  const live = () => Object.entries(media.outgoing.tracks).filter(([, track]) => track?.readyState === "live").map(([role]) => role);
  const start = ({ muted = false, cameraOn = true } = {}) => media.setPreferences({ microphoneId: null, cameraId: null, muted, cameraOn, music: false });

  beforeEach(() => {
    devices = new SlowDevices();
    problems = {};
    media = new LocalMedia(devices, {
      onChange: () => {
        // Whatever is sent is wanted at that moment, and a microphone is never audible while it should be muted.
        for (const device of ["microphone", "camera"]) {
          if (media.outgoing.tracks[device] !== null) assert.ok(device === "camera" ? media.wantsCamera : media.wantsMicrophone, device);
        }
        if (media.hasMicrophone && !media.outgoing.tracks.microphone.muted) assert.equal(media.outgoing.tracks.microphone.enabled, !media.muted);
      },
      onProblem: (device, problem) => {
        if (problem === null) delete problems[device];
        else problems[device] = problem;
      },
    });
    start();
  });

  test("the button says that media is sent from the start, and as long as a device may still open", async () => {
    media.expect();
    assert.equal(intent(), "send");
    void media.open();
    await settled();
    assert.equal(intent(), "send");
    await devices.requests[0].grant();
    assert.deepEqual([intent(), live()], ["send", ["microphone", "camera"]]);
  });

  test("where no device can be opened, the button says so from the start", async () => {
    devices.unavailable = "insecure";
    media.expect();
    assert.equal(intent(), "watch");
    await media.open();
    assert.deepEqual([intent(), problems], ["watch", { microphone: "insecure", camera: "insecure" }]);
  });

  test("a denied prompt makes the button say watch and listen, and trying again makes it say join at once", async () => {
    void media.open();
    await settled();
    await devices.requests[0].refuse(denied());
    assert.deepEqual([intent(), problems], ["watch", { microphone: "denied", camera: "denied" }]);
    void media.open();
    assert.equal(intent(), "send");
    await settled();
    await devices.requests[1].grant();
    assert.deepEqual([live(), problems], [["microphone", "camera"], {}]);
  });

  test("camera ready, microphone not: each is used as soon as it is there", async () => {
    void media.open();
    await settled();
    await devices.requests[0].refuse(busy());
    await devices.requests[1].grant();
    assert.deepEqual([intent(), live()], ["send", ["camera"]]);
    await devices.requests[2].refuse(busy());
    assert.deepEqual([intent(), live(), problems], ["send", ["camera"], { microphone: "busy" }]);
    void media.open();
    await settled();
    assert.equal(devices.requests[3].names, "audio", "a camera that is open is not opened again");
  });

  test("a camera that is switched off while it opens is stopped when it arrives", async () => {
    void media.open();
    await settled();
    void media.setCamera(false);
    assert.equal(media.wantsCamera, false);
    const [, camera] = await devices.requests[0].grant();
    assert.deepEqual([camera.readyState, live()], ["ended", ["microphone"]]);
  });

  test("a camera that is switched off and on again while it opens is opened once", async () => {
    void media.open();
    await settled();
    void media.setCamera(false);
    void media.setCamera(true);
    await devices.requests[0].grant();
    await settled();
    assert.deepEqual([devices.requests.length, live()], [1, ["microphone", "camera"]]);
  });

  test("a camera that is switched off while both open does not open when the microphone alone is tried", async () => {
    void media.open();
    await settled();
    void media.setCamera(false);
    await devices.requests[0].refuse(busy());
    assert.deepEqual(devices.requests.map(({ names }) => names), ["audio+video", "audio"]);
    await devices.requests[1].grant();
    assert.deepEqual([live(), problems], [["microphone"], {}]);
  });

  test("a microphone that is muted while it opens arrives muted, and unmuting does not open it twice", async () => {
    void media.open();
    await settled();
    assert.equal(media.willBeMuted, false);
    void media.setMuted(true);
    assert.equal(media.willBeMuted, true);
    const [microphone] = await devices.requests[0].grant();
    assert.equal(microphone.enabled, false);
    void media.setMuted(false);
    assert.deepEqual([microphone.enabled, devices.requests.length], [true, 1]);
  });

  test("unmuting while the microphone opens waits for it, and does not open it again", async () => {
    void media.open();
    await settled();
    void media.setMuted(true);
    void media.setMuted(false);
    const [microphone] = await devices.requests[0].grant();
    await settled();
    assert.deepEqual([microphone.enabled, microphone.readyState, devices.requests.length], [true, "live", 1]);
  });

  test("what arrives after everything was closed is stopped, also a screen", async () => {
    void media.open();
    void media.shareScreen();
    await settled();
    media.close();
    const tracks = (await Promise.all(devices.requests.map(({ grant }) => grant()))).flat();
    assert.deepEqual(tracks.map(({ readyState }) => readyState), ["ended", "ended", "ended"]);
    assert.deepEqual(live(), []);
    assert.equal(intent(), "watch");
  });

  test("a failure after everything was closed is not reported, and opens nothing else", async () => {
    for (const error of [denied(), busy()]) {
      const before = devices.requests.length;
      void media.open();
      await settled();
      media.close();
      await devices.requests[before].refuse(error);
      assert.deepEqual([devices.requests.length, problems], [before + 1, {}]);
    }
  });

  test("closed and opened again while the prompt is open, the answer is used once", async () => {
    void media.open();
    await settled();
    media.close();
    void media.open();
    await settled();
    await devices.requests[0].grant();
    await settled();
    assert.deepEqual([devices.requests.length, live()], [1, ["microphone", "camera"]]);
  });

  test("after joining to watch and listen, only the user's own switches open a device, one each", async () => {
    void media.open();
    await settled();
    await devices.requests[0].refuse(denied());
    media.watch();
    void media.selectDevice("microphone", "m2");
    void media.selectDevice("camera", "c2");
    void media.setMusic(true);
    media.setPushToTalk(true);
    media.setPushToTalk(false);
    await settled();
    assert.equal(devices.requests.length, 1);
    void media.setCamera(true);
    await settled();
    await devices.requests[1].grant();
    assert.deepEqual(live(), ["camera"]);
    void media.setMuted(false);
    await settled();
    await devices.requests[2].grant();
    assert.deepEqual(live(), ["microphone", "camera"]);
  });

  test("an unplugged device is replaced while it is wanted; the button does not change meanwhile", async () => {
    void media.open();
    await settled();
    const [microphone] = await devices.requests[0].grant();
    void media.setCamera(false);
    microphone.dispatchEvent(new Event("ended"));
    await settled();
    assert.equal(intent(), "send");
    await devices.requests[1].refuse(busy());
    assert.deepEqual([intent(), problems], ["watch", { microphone: "unplugged" }]);
  });

  test("a device chosen while another one opens is the one that is used", async () => {
    void media.open();
    await settled();
    void media.selectDevice("camera", "c2");
    const [, first] = await devices.requests[0].grant();
    const [second] = await devices.requests[1].grant();
    assert.deepEqual([first.readyState, second.readyState, media.outgoing.tracks.camera], ["ended", "live", second]);
  });

  test("a device that the system interrupts is told, and goes on by itself", async () => {
    void media.open();
    await settled();
    const [microphone, camera] = await devices.requests[0].grant();
    microphone.interrupt(true);
    camera.interrupt(true);
    assert.deepEqual(problems, { microphone: "interrupted", camera: "interrupted" });
    assert.deepEqual(media.peerState("Ada"), { name: "Ada", muted: true, camera: false, screen: null });
    assert.deepEqual([media.willBeMuted, media.wantsCamera, live()], [false, true, ["microphone", "camera"]], "the buttons stay as they are");
    microphone.interrupt(false);
    camera.interrupt(false);
    assert.deepEqual(problems, {});
    assert.deepEqual(media.peerState("Ada"), { name: "Ada", muted: false, camera: true, screen: null });
    assert.equal(microphone.enabled, true);
    void media.recover();
    await settled();
    assert.equal(devices.requests.length, 1, "nothing is interrupted");
  });

  test("a device that stays interrupted is opened anew when the page is looked at", async () => {
    void media.open();
    await settled();
    const [microphone] = await devices.requests[0].grant();
    microphone.interrupt(true);
    void media.recover();
    await settled();
    assert.equal(devices.requests[1].names, "audio");
    const [again] = await devices.requests[1].grant();
    assert.deepEqual([media.outgoing.tracks.microphone, microphone.readyState], [again, "ended"]);
    assert.deepEqual([problems, media.muted], [{}, false]);
    microphone.interrupt(false);
    assert.deepEqual(problems, {}, "what the old track does is of no interest");
  });

  test("the microphone follows the system's default if none was chosen", async () => {
    void media.open();
    await settled();
    await devices.requests[0].grant();
    await media.followDefault();
    assert.equal(devices.requests.length, 1, "the same as before");
    devices.defaultName = "second";
    void media.followDefault();
    await settled();
    assert.equal(devices.requests[1].names, "audio");
    const [again] = await devices.requests[1].grant();
    assert.equal(media.outgoing.tracks.microphone, again);
    devices.defaultName = null;
    await media.followDefault();
    void media.selectDevice("microphone", "mine");
    await settled();
    await devices.requests[2].grant();
    devices.defaultName = "third";
    await media.followDefault();
    await settled();
    assert.equal(devices.requests.length, 3, "one that was chosen stays");
    void media.selectDevice("microphone", "default");
    await settled();
    await devices.requests[3].grant();
    devices.defaultName = "fourth";
    void media.followDefault();
    await settled();
    assert.equal(devices.requests.length, 5, "unless it is the default itself");
  });
});
