//! Batches from safetensors files. Each tensor is read in small pieces into its place, so that a batch is held
//! once.

use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use tch::{Device, Kind, TchError, Tensor};

/// How much is read at a time.
const PIECE: usize = 16 << 20;
/// The length of the header stands in so many bytes.
const LENGTH_BYTES: u64 = 8;
/// A header longer than this describes no batch.
const LONGEST_HEADER: u64 = 64 << 20;

/// All tensors of a file by name; floating-point ones converted if `dtype` says so.
pub(super) fn batch(
    path: &Path,
    dtype: Option<Kind>,
    device: Device,
) -> Result<Vec<(String, Tensor)>, String> {
    let name = path.display();
    let refuse = |reason: String| format!("cannot read the batch `{name}`: {reason}");
    let mut file = File::open(path).map_err(|error| refuse(error.to_string()))?;
    let (start, metadata) = header(&mut file).map_err(refuse)?;
    let mut tensors: Vec<_> = metadata.tensors().into_iter().collect();
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    let read = |(field, info): (String, &TensorInfo)| {
        let tensor =
            tensor(&mut file, start, info).map_err(|reason| refuse(format!("`{field}`: {reason}")))?;
        let tensor = convert(&tensor, dtype, device)
            .map_err(|error| refuse(format!("`{field}`: {}", first_line(&error))))?;
        Ok((field, tensor))
    };
    tensors.into_iter().map(read).collect()
}

/// Where the tensors begin, and what they are.
fn header(file: &mut File) -> Result<(u64, Metadata), String> {
    let not_one = |reason: &str| format!("it is no safetensors file: {reason}");
    let whole = file.metadata().map_err(|error| error.to_string())?.len();
    let mut length = [0; LENGTH_BYTES as usize];
    file.read_exact(&mut length).map_err(|_| not_one("it has fewer than 8 bytes"))?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST_HEADER || length > whole.saturating_sub(LENGTH_BYTES) {
        return Err(not_one("its header is longer than the file, or than any header"));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(|error| error.to_string())?;
    let metadata: Metadata = serde_json::from_slice(&text)
        .map_err(|error| not_one(&format!("its header cannot be read ({error})")))?;
    let start = LENGTH_BYTES + length;
    let wanted = start + metadata.data_len() as u64;
    if wanted != whole {
        return Err(format!(
            "expected {wanted} bytes by its header, found {whole}: it is cut off or damaged"
        ));
    }
    Ok((start, metadata))
}

fn tensor(file: &mut File, start: u64, info: &TensorInfo) -> Result<Tensor, String> {
    let kind = kind(info.dtype)?;
    let torch = |error: TchError| first_line(&error);
    let shape = info.shape.iter().map(|&size| i64::try_from(size)).collect::<Result<Vec<_>, _>>();
    let shape = shape.map_err(|_| format!("its shape {:?} is too large", info.shape))?;
    let (first, end) = info.data_offsets;
    let bytes = end - first;
    let flat = Tensor::f_empty([bytes as i64], (Kind::Uint8, Device::Cpu)).map_err(torch)?;
    file.seek(SeekFrom::Start(start + first as u64)).map_err(|error| error.to_string())?;
    let mut piece = vec![0; PIECE.min(bytes)];
    let mut done = 0;
    while done < bytes {
        let length = PIECE.min(bytes - done);
        file.read_exact(&mut piece[..length]).map_err(|error| error.to_string())?;
        let mut place = flat.f_narrow(0, done as i64, length as i64).map_err(torch)?;
        place.f_copy_(&Tensor::f_from_slice(&piece[..length]).map_err(torch)?).map_err(torch)?;
        done += length;
    }
    if kind == Kind::Bool {
        // Any byte but 0 is true, which a plain view as truth values would not promise.
        return flat.f_ne(0).and_then(|truth| truth.f_reshape(&shape)).map_err(torch);
    }
    flat.f_view_dtype(kind).and_then(|typed| typed.f_reshape(&shape)).map_err(torch)
}

fn kind(dtype: Dtype) -> Result<Kind, String> {
    Ok(match dtype {
        Dtype::BOOL => Kind::Bool,
        Dtype::U8 => Kind::Uint8,
        Dtype::I8 => Kind::Int8,
        Dtype::I16 => Kind::Int16,
        Dtype::I32 => Kind::Int,
        Dtype::I64 => Kind::Int64,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        other => return Err(format!("its kind {other:?} is none that torch computes with")),
    })
}

fn convert(tensor: &Tensor, dtype: Option<Kind>, device: Device) -> Result<Tensor, TchError> {
    let tensor = match dtype {
        Some(kind) if is_float(tensor.kind()) => tensor.f_to_kind(kind)?,
        _ => tensor.shallow_clone(),
    };
    tensor.f_to_device(device)
}

/// Whether gradient can flow into values of that kind.
pub(super) fn is_float(kind: Kind) -> bool {
    matches!(kind, Kind::Float | Kind::Double | Kind::Half | Kind::BFloat16)
}

/// libtorch appends a trace of its own stack, which helps nobody here.
pub(super) fn first_line(error: &TchError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
