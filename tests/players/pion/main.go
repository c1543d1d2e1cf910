// Plays a station with Pion: main URL ORDER POLICY FILE, as gstreamer.py, but FILE has RTP packets, each behind its
// length in two bytes (RFC 4571).
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/pion/webrtc/v3"
)

const listenFor = 4 * time.Second

func main() {
	url, order, policy, path := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	policies := map[string]webrtc.BundlePolicy{
		"balanced":   webrtc.BundlePolicyBalanced,
		"max-compat": webrtc.BundlePolicyMaxCompat,
		"max-bundle": webrtc.BundlePolicyMaxBundle,
	}
	connection, err := webrtc.NewPeerConnection(webrtc.Configuration{BundlePolicy: policies[policy]})
	check(err)
	file, err := os.Create(path)
	check(err)
	connection.OnTrack(func(track *webrtc.TrackRemote, _ *webrtc.RTPReceiver) {
		for {
			packet, _, err := track.ReadRTP()
			if err != nil {
				return
			}
			bytes, err := packet.Marshal()
			check(err)
			_, err = file.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(bytes))), bytes...))
			check(err)
		}
	})
	for _, kind := range strings.Split(order, ",") {
		_, err := connection.AddTransceiverFromKind(webrtc.NewRTPCodecType(kind),
			webrtc.RTPTransceiverInit{Direction: webrtc.RTPTransceiverDirectionRecvonly})
		check(err)
	}
	offer, err := connection.CreateOffer(nil)
	check(err)
	gathered := webrtc.GatheringCompletePromise(connection)
	check(connection.SetLocalDescription(offer))
	<-gathered
	answer := post(url, connection.LocalDescription().SDP)
	check(connection.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: answer}))
	time.Sleep(listenFor)
	check(connection.Close())
}

func post(url, offer string) string {
	fmt.Fprintln(os.Stderr, offer)
	response, err := http.Post(url, "application/sdp", strings.NewReader(offer))
	check(err)
	body, err := io.ReadAll(response.Body)
	check(err)
	if response.StatusCode != http.StatusCreated {
		panic(response.Status + " " + string(body))
	}
	fmt.Fprintln(os.Stderr, string(body))
	return string(body)
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}
