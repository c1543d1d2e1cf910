//! The chunked coding (RFC 9112 §7.1), both ways: removed from a request body within limits, and put around the pieces
//! of a streamed response. Pure. Chunk extensions and trailers are read and ignored; this server uses neither.

use crate::web::http::error_code::ErrorCode;
use crate::web::http::message::Response;

/// A chunk's size with its extensions, or a trailer field. Real clients need less, and a hostile one could send one
/// with every chunk.
const MAX_LINE_BYTES: usize = 256;
/// Trailer fields that a body may have.
const MAX_TRAILERS: usize = 16;

/// The end of a streamed body: the last chunk and no trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends one chunk with this data, which must not be empty: an empty chunk would end the body.
pub fn write_chunk(data: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
}

/// A request body that is arriving in chunks.
#[derive(Debug)]
pub struct ChunkedDecoder {
    body: Vec<u8>,
    limit_bytes: usize,
    expects: Expects,
}

#[derive(Clone, Copy, Debug)]
enum Expects {
    Size,
    Data { left: usize },
    EndOfData,
    Trailer { nth: usize },
}

impl ChunkedDecoder {
    /// A body of at most that size.
    pub fn new(limit_bytes: usize) -> Self {
        ChunkedDecoder { body: Vec::new(), limit_bytes, expects: Expects::Size }
    }

    /// Takes what it can from the front of `input`. True once the body is complete; what is left in `input` then
    /// belongs to the next request.
    ///
    /// # Errors
    /// The response to send before closing.
    pub fn push(&mut self, input: &mut Vec<u8>) -> Result<bool, Response> {
        let mut used = 0;
        let complete = self.take(input, &mut used);
        input.drain(..used);
        complete
    }

    /// The body as far as it has arrived.
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    fn take(&mut self, input: &[u8], used: &mut usize) -> Result<bool, Response> {
        loop {
            let rest = &input[*used..];
            match self.expects {
                Expects::Data { left } => {
                    let taken = left.min(rest.len());
                    self.body.extend_from_slice(&rest[..taken]);
                    *used += taken;
                    self.expects =
                        if taken == left { Expects::EndOfData } else { Expects::Data { left: left - taken } };
                    if taken < left {
                        return Ok(false);
                    }
                }
                _ => {
                    let Some(line) = line(rest)? else { return Ok(false) };
                    *used += line.len() + 2;
                    if self.take_line(line)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn take_line(&mut self, line: &[u8]) -> Result<bool, Response> {
        match self.expects {
            Expects::EndOfData if line.is_empty() => self.expects = Expects::Size,
            Expects::Trailer { .. } if line.is_empty() => return Ok(true),
            Expects::Trailer { nth } if nth < MAX_TRAILERS => self.expects = Expects::Trailer { nth: nth + 1 },
            Expects::Size => match chunk_size(line)? {
                0 => self.expects = Expects::Trailer { nth: 0 },
                size if size > self.limit_bytes - self.body.len() => return Err(too_large(self.limit_bytes)),
                size => self.expects = Expects::Data { left: size },
            },
            _ => return Err(bad()),
        }
        Ok(false)
    }
}

/// The response to a body over the limit.
pub fn too_large(limit_bytes: usize) -> Response {
    Response::error(ErrorCode::BodyTooLarge, format!("A request body may have {limit_bytes} bytes at most."))
}

fn bad() -> Response {
    Response::error(ErrorCode::BadRequest, "The chunked body cannot be read.")
}

/// The first line without its CR LF, if all of it is there.
fn line(bytes: &[u8]) -> Result<Option<&[u8]>, Response> {
    let end = bytes.iter().take(MAX_LINE_BYTES).position(|&b| b == b'\n');
    match end {
        Some(end) if end > 0 && bytes[end - 1] == b'\r' => {
            let line = &bytes[..end - 1];
            if line.contains(&b'\r') { Err(bad()) } else { Ok(Some(line)) }
        }
        Some(_) => Err(bad()),
        None if bytes.len() < MAX_LINE_BYTES => Ok(None),
        None => Err(bad()),
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, Response> {
    let digits = line.split(|&b| b == b';').next().unwrap_or_default().trim_ascii_end();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_hexdigit) {
        return Err(bad());
    }
    // A size that does not fit is too large as well: the limit is far below.
    Ok(std::str::from_utf8(digits).ok().and_then(|d| usize::from_str_radix(d, 16).ok()).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(limit: usize, bytes: &[u8]) -> Result<(bool, Vec<u8>, Vec<u8>), u16> {
        let mut body = ChunkedDecoder::new(limit);
        let mut input = bytes.to_vec();
        let complete = body.push(&mut input).map_err(|response| response.status)?;
        Ok((complete, body.into_body(), input))
    }

    #[test]
    fn chunks_become_a_body_and_the_next_request_stays() {
        let bytes = b"4;ext=\"1\"\r\nWiki\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nGET /";
        assert_eq!(whole(14, bytes), Ok((true, b"Wiki0123456789".to_vec(), b"GET /".to_vec())));
    }

    #[test]
    fn chunks_may_arrive_byte_by_byte() {
        let mut body = ChunkedDecoder::new(100);
        let mut input = Vec::new();
        let bytes = b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        for (at, byte) in bytes.iter().enumerate() {
            input.push(*byte);
            assert_eq!(body.push(&mut input), Ok(at == bytes.len() - 1));
        }
        assert_eq!(body.into_body(), b"abcde");
    }

    #[test]
    fn a_body_over_the_limit_is_refused_before_it_arrives() {
        assert_eq!(whole(3, b"4\r\n"), Err(413));
        assert_eq!(whole(3, b"3\r\nabc\r\n1\r\n"), Err(413));
        assert_eq!(whole(3, b"fffffffffffffffffffff\r\n"), Err(413));
    }

    #[test]
    fn bad_chunk_syntax_is_refused() {
        let long = [b'0'; MAX_LINE_BYTES];
        let many = format!("0\r\n{}", "A: b\r\n".repeat(MAX_TRAILERS + 1));
        let cases: [&[u8]; 9] =
            [b"\r\n", b"x\r\n", b"-1\r\n", b"0x1\r\n", b" 1\r\n", b"1\nab", b"1\r\nab\r\n", &long, many.as_bytes()];
        for bytes in cases {
            assert_eq!(whole(100, bytes), Err(400), "{:?}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn what_is_written_in_chunks_is_read_back() {
        let mut coded = vec![];
        for piece in [b"a".as_slice(), &[b'x'; 300]] {
            write_chunk(piece, &mut coded);
        }
        coded.extend_from_slice(LAST_CHUNK);
        assert!(coded.starts_with(b"1\r\na\r\n12c\r\nxxx"));
        assert_eq!(whole(1000, &coded), Ok((true, [b"a".as_slice(), &[b'x'; 300]].concat(), vec![])));
    }
}
